#pragma once

#include <cstdint>

/// Vector kernels on rows of a norm. With xhat = (x - mean) rstd, where mean is 0 for RMS norm:
namespace haze {

/// The operands of a norm's backward pass, rows of `columns` elements. mean is null for RMS norm, which does
/// not differentiate it; weight may be null.
template <typename T>
struct NormRows {
  const T *g, *x, *weight, *mean, *rstd;
  int64_t columns;
};

template <typename T>
struct NormSpans {
  /// out = xhat weight + bias; weight and bias may be null.
  void (*normalize)(const T* x, const T* weight, const T* bias, T mean, T rstd, T* out, int64_t count);
  /// For one row. out becomes the gradient of x: rstd (gw - mean(gw) - xhat mean(gw xhat)), where gw = g
  /// weight. RMS norm has no mean(gw). Both functions prefetch the
  /// next row in memory. g xhat is added to weight_gradient and g to bias_gradient, either of
  /// which may be null.
  void (*gradient)(const NormRows<T>& in, int64_t row, T* weight_gradient, T* bias_gradient, T* out);
};

/// The best version for this processor; T is float or double.
template <typename T>
const NormSpans<T>& norm_spans();

}  // namespace haze
