#pragma once

#include "haze/nn/layers.h"

namespace haze {

/// A network of noisy values and the time: what the denoisers of real-valued examples have in common.
class TimedNetwork : public Module {
 public:
  /// x [n, ...], t float32 [n] in [0, 1]; the result has n rows too. Throws Error where a shape is wrong.
  virtual Variable forward(const Variable& x, const Tensor& t, const ForwardContext& context) const = 0;
};

/// Throws Error, beginning with `name`, unless t is float32 [n]; `examples` is what there are n of.
void check_times(const char* name, const Tensor& t, int64_t n, const char* examples);

}  // namespace haze
