#include "haze/engine/ops/argmax.h"

#include "haze/engine/checks.h"

namespace haze {
Tensor argmax(const Tensor& x, int axis) {
  check_floating("argmax", "x", x);
  const int a = checked_axis("argmax", x, axis);
  if (x.size(a) == 0) fail("argmax: axis {} of shape {} is empty", axis, x.shape().to_string());
  const Tensor together = as_outer_count_inner(x, a);
  Tensor result(without_axes(x, 1u << a, false), Dtype::int32, x.device());
  launch(call::Argmax{together, reshape(result, {together.size(0), together.size(2)})});
  return result;
}

}  // namespace haze
