#include "haze/autograd/rules.h"

namespace haze {
namespace {

/// x in reverse order on one axis.
Variable flip(const Variable& x, int axis) {
  const int64_t count = x.size(axis);
  const Tensor last = full({}, static_cast<double>(count - 1), Dtype::int32, x.device());
  return index_select(x, axis, subtract(last, arange(count, Dtype::int32, x.device())));
}

}  // namespace

Variable cumulative_sum(const Variable& x, int axis) {
  // d(y_i) = sum_(j <= i) dx_j: x_j gets the sum of g from j to the end
  return Tape::record("cumulative_sum", cumulative_sum(x.value(), axis), {x}, [axis](const Variable& g) {
    return Gradients{flip(cumulative_sum(flip(g, axis), axis), axis)};
  });
}

}  // namespace haze
