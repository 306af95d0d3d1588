#pragma once

#include <cstdint>

/// Vector kernels that reduce contiguous elements, or several rows to one. Sums run in the element type over
/// blocks of kSumBlock and in float64 across blocks, in a fixed order.
namespace haze {

inline constexpr int64_t kSumBlock = 1024;

template <typename T>
struct RowSpans {
  double (*sum)(const T* x, int64_t count);
  T (*max)(const T* x, int64_t count);  // -infinity for count 0; a NaN comes through
  T (*min)(const T* x, int64_t count);
  double (*sum_exp)(const T* x, int64_t count, T shift);  // of e^(x - shift), for shift >= x
  // The same, keeping the terms.
  double (*exp_and_sum)(const T* x, T* out, int64_t count, T shift);
  double (*sum_square)(const T* x, int64_t count, T mean);  // of (x - mean)^2
  double (*dot)(const T* x, const T* y, int64_t count);
  // out = y (g - sum), and out = g - e^y sum.
  void (*softmax_gradient)(const T* y, const T* g, T sum, T* out, int64_t count);
  void (*log_softmax_gradient)(const T* y, const T* g, T sum, T* out, int64_t count);

  void (*add)(T* accumulator, const T* x, int64_t count);
  void (*keep_max)(T* accumulator, const T* x, int64_t count);
  void (*keep_min)(T* accumulator, const T* x, int64_t count);
  // Adds e^(x - shift), for shift >= x.
  void (*add_exp)(T* accumulator, const T* x, const T* shift, int64_t count);
  void (*add_square)(T* accumulator, const T* x, const T* mean, int64_t count);
};

/// The best version for this processor; T is float or double.
template <typename T>
const RowSpans<T>& row_spans();

}  // namespace haze
