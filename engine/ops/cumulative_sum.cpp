#include "haze/engine/ops/cumulative_sum.h"

#include "haze/engine/checks.h"

namespace haze {
Tensor cumulative_sum(const Tensor& x, int axis) {
  check_floating_or_int32("cumulative_sum", "x", x);
  const int resolved = checked_axis("cumulative_sum", x, axis);
  Tensor result(x.shape(), x.dtype(), x.device());
  launch(call::CumulativeSum{as_outer_count_inner(x, resolved), as_outer_count_inner(result, resolved)});
  return result;
}

}  // namespace haze
