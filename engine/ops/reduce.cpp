#include "haze/engine/ops/reduce.h"

#include <limits>

#include "haze/engine/checks.h"

namespace haze {
const char* name(ReduceOp op) {
  static constexpr const char* kNames[] = {"sum", "mean", "max", "min", "logsumexp", "variance"};
  static_assert(std::size(kNames) == static_cast<size_t>(ReduceOp::kCount));
  return kNames[static_cast<size_t>(op)];
}

const char* call::Reduce::name() const {
  return haze::name(op);
}
const char* call::ReduceIntegers::name() const {
  return haze::name(op);
}

namespace {

// One bit an axis.
uint32_t axes_to_bits(const char* operation, const Tensor& x, const Shape& axes) {
  if (axes.rank() == 0) return (1u << x.rank()) - 1;
  uint32_t bits = 0;
  for (int64_t axis : axes) {
    const uint32_t bit = 1u << checked_axis(operation, x, axis);
    if (bits & bit) fail("{}: axis {} is named twice", operation, axis);
    bits |= bit;
  }
  return bits;
}

// x as a dense [outer, count, inner] whose middle axis runs over the reduced axes. Where these do not lie
// side by side, x is copied with them at the end.
Tensor reduced_axes_together(const Tensor& x, uint32_t reduced) {
  Shape kept_then_reduced;
  int changes = 0;
  bool previous = false;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool now = reduced >> axis & 1u;
    if (x.size(axis) != 1 && now != previous) {
      ++changes;
      previous = now;
    }
  }
  int64_t outer = 1, count = 1, inner = 1;
  if (changes <= 2) {   // kept..., reduced..., kept...
    bool seen = false;  // a reduced axis of more than one element
    for (int axis = 0; axis < x.rank(); ++axis) {
      if (reduced >> axis & 1u) {
        count *= x.size(axis);
        seen |= x.size(axis) != 1;
      } else {
        (seen ? inner : outer) *= x.size(axis);
      }
    }
    return reshape(contiguous(x), {outer, count, inner});
  }
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!(reduced >> axis & 1u)) {
      kept_then_reduced.append(axis);
      outer *= x.size(axis);
    }
  }
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (reduced >> axis & 1u) {
      kept_then_reduced.append(axis);
      count *= x.size(axis);
    }
  }
  return reshape(contiguous(permute(x, kept_then_reduced)), {outer, count, 1});
}

bool reduces_integers(ReduceOp op, const Tensor& x) {
  if (!x.defined()) return false;
  if (x.dtype() == Dtype::uint8) return op == ReduceOp::sum;
  return x.dtype() == Dtype::int32 && (op == ReduceOp::sum || op == ReduceOp::max || op == ReduceOp::min);
}

}  // namespace

Tensor reduce(ReduceOp op, const Tensor& x, const Shape& axes, bool keep_axes, double correction) {
  const bool integers = reduces_integers(op, x);
  if (!integers) check_floating(name(op), "x", x);
  const uint32_t reduced = axes_to_bits(name(op), x, axes);
  const Tensor together = reduced_axes_together(x, reduced);
  const int64_t count = together.size(1);
  const bool needs_elements = op != ReduceOp::sum && op != ReduceOp::logsumexp;
  const double required = op == ReduceOp::variance ? correction : 0;
  if (needs_elements && static_cast<double>(count) <= required) {
    fail("{}: shape {} has {} elements to reduce", name(op), x.shape().to_string(), count);
  }
  Tensor result(without_axes(x, reduced, keep_axes), integers ? Dtype::int32 : x.dtype(), x.device());
  if (result.elements() == 0) return result;
  if (count == 0) {
    fill(result, op == ReduceOp::sum ? 0.0 : -std::numeric_limits<double>::infinity());
    return result;
  }
  const Tensor out = reshape(result, {together.size(0), together.size(2)});
  if (integers) {
    launch(call::ReduceIntegers{op, together, out});
  } else {
    launch(call::Reduce{op, together, correction, out});
  }
  return result;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check_floating("sum_to", "x", x);
  if (x.shape() == shape) return x;
  if (!(broadcast_shape(x.shape(), shape, "sum_to") == x.shape())) {
    fail("sum_to: shape {} does not broadcast to {}", shape.to_string(), x.shape().to_string());
  }
  const int extra = x.rank() - shape.rank();
  Shape axes;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axis < extra || (shape[axis - extra] == 1 && x.size(axis) != 1)) axes.append(axis);
  }
  return axes.rank() == 0 ? reshape(x, shape) : reshape(sum(x, axes, true), shape);
}

}  // namespace haze
