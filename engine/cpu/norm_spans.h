#pragma once

#include <cstdint>

/// Vector kernels on one row of a norm. With xhat = (x - mean) rstd, where mean is 0 for RMS norm:
namespace haze {

template <typename T>
struct NormSpans {
  /// out = xhat weight + bias; weight and bias may be null.
  void (*normalize)(const T* x, const T* weight, const T* bias, T mean, T rstd, T* out, int64_t count);
  /// Leaves g weight in out, adds g xhat to weight_gradient and g to bias_gradient (either may be null), and
  /// gives the sums of g weight and of g weight xhat.
  void (*gradient_sums)(const T* g, const T* x, const T* weight, T mean, T rstd, T* weight_gradient,
                        T* bias_gradient, T* out, int64_t count, T* sums);
  /// out = rstd (out - a - xhat b).
  void (*gradient)(const T* x, T mean, T rstd, T a, T b, T* out, int64_t count);
};

/// The best version for this processor; T is float or double.
template <typename T>
const NormSpans<T>& norm_spans();

}  // namespace haze
