#include "haze/autograd/rules.h"

// Views: every rule is the adjoint map, which is again one of these operations.
namespace haze {
namespace {

/// Zeros of `shape` with x in the elements that slice() would take: the adjoint of slice.
Variable place(const Variable& x, int axis, int64_t first, int64_t last, int64_t step, const Shape& shape) {
  Tensor result = zeros(shape, x.dtype(), x.device());
  copy_into(slice(result, axis, first, last, step), x.value());
  // d(place(x)) = place(dx)
  return Tape::record("place", std::move(result), {x},
                      [=](const Variable& g) { return Gradients{slice(g, axis, first, last, step)}; });
}

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
  // d(reshape(x)) = reshape(dx)
  return Tape::record("reshape", reshape(x.value(), shape), {x},
                      [from = x.shape()](const Variable& g) { return Gradients{reshape(g, from)}; });
}

Variable transpose(const Variable& x, int axis_a, int axis_b) {
  // d(x^T) = (dx)^T, and transposing twice changes nothing
  return Tape::record("transpose", transpose(x.value(), axis_a, axis_b), {x},
                      [=](const Variable& g) { return Gradients{transpose(g, axis_a, axis_b)}; });
}

Variable permute(const Variable& x, const Shape& axes) {
  Tensor value = permute(x.value(), axes);
  Shape inverse = axes;
  for (int i = 0; i < axes.rank(); ++i) {
    inverse[static_cast<int>(axes[i] < 0 ? axes[i] + axes.rank() : axes[i])] = i;
  }
  // Axis i of the result is axis axes[i] of x; the gradient goes back by the inverse order.
  return Tape::record("permute", std::move(value), {x},
                      [inverse](const Variable& g) { return Gradients{permute(g, inverse)}; });
}

Variable slice(const Variable& x, int axis, int64_t first, int64_t last, int64_t step) {
  // Elements outside the slice get 0.
  return Tape::record("slice", slice(x.value(), axis, first, last, step), {x},
                      [=, shape = x.shape()](const Variable& g) {
                        return Gradients{place(g, axis, first, last, step, shape)};
                      });
}

Variable expand(const Variable& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  // Each element was repeated: its gradients add up.
  return Tape::record("expand", expand(x.value(), shape), {x},
                      [from = x.shape()](const Variable& g) { return Gradients{sum_to(g, from)}; });
}

Variable unsqueeze(const Variable& x, int axis) {
  // d(unsqueeze(x)) = unsqueeze(dx)
  return Tape::record("unsqueeze", unsqueeze(x.value(), axis), {x},
                      [from = x.shape()](const Variable& g) { return Gradients{reshape(g, from)}; });
}

}  // namespace haze
