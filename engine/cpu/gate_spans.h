#pragma once

#include <cstdint>

namespace haze {

/// Vector kernels on rows of a gated residual branch.
template <typename T>
struct GateSpans {
  /// out = x + gate branch.
  void (*add)(const T* x, const T* gate, const T* branch, T* out, int64_t count);
  /// out = g gate, and g branch is added to gate_gradient.
  void (*gradient)(const T* g, const T* gate, const T* branch, T* gate_gradient, T* out, int64_t count);
};

/// The best version for this processor; T is float or double.
template <typename T>
const GateSpans<T>& gate_spans();

}  // namespace haze
