#pragma once

#include <cstdint>

/// Vector kernels for tiles of attention scores.
namespace haze {

/// Tiles are rows of `columns` elements, `stride` apart.
struct ScoreTile {
  int64_t rows, columns, stride;
};

template <typename T>
struct AttentionSpans {
  /// One step of the online softmax (Milakov and Gimelshein 2018). m is the maximum of scale s, over a row's
  /// scores s, and max[row]. The scores become e^(scale s - m). correction[row] becomes e^(max[row] - m).
  /// Sums made with the old maximum are to be multiplied by it. total[row] is multiplied by it before the new
  /// terms are added. Then max[row] becomes m. A row of -infinity becomes zeros and changes nothing. If a row
  /// has a NaN, or in float32 a maximum of 2^30 or more in size, total[row] becomes NaN and its other results
  /// mean nothing.
  void (*softmax)(T* scores, const ScoreTile& tile, T scale, T* max, double* total, T* correction);
  /// Scores s become the probabilities p = e^(scale s - max[row]) / sum[row], gradients g of these become
  /// p (g - delta[row]) times `gradient_scale`. Both are zeros where the sum is 0. The difference is rounded
  /// once where the processor has a fused multiply-add; elsewhere, scale s is rounded before.
  void (*softmax_gradient)(T* scores, T* gradients, const ScoreTile& tile, T scale, T gradient_scale,
                           const T* max, const T* sum, const T* delta);
  /// scores[c] becomes -infinity where the c-th element of the mask, `stride` apart, is 0.
  void (*rule_out)(T* scores, const uint8_t* mask, int64_t stride, int64_t columns);
  /// scores[c] becomes scale scores[c] plus the c-th element of the mask, whose -infinity overrides NaN.
  void (*add_mask)(T* scores, const T* mask, int64_t stride, int64_t columns, T scale);
  /// dots[r] = the sum over c of x[r][c] y[r][c]; rows of x and y lie x_stride and y_stride apart.
  void (*row_dots)(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t rows, int64_t columns,
                   T* dots);
};

/// The best version for this processor; T is float or double.
template <typename T>
const AttentionSpans<T>& attention_spans();

}  // namespace haze
