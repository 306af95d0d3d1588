#include "haze/autograd/rules.h"

namespace haze {
namespace {

/// `shape` with extent 1 on the reduced axes: what the gradient is broadcast from.
Shape kept_shape(Shape shape, const Shape& axes) {
  for (int i = 0; axes.rank() == 0 && i < shape.rank(); ++i) shape[i] = 1;
  for (int64_t axis : axes) shape[static_cast<int>(axis < 0 ? axis + shape.rank() : axis)] = 1;
  return shape;
}

/// Weight of each element in the gradient of a maximum or minimum: 1 / (number of elements equal to it).
Tensor extremum_weights(const Tensor& x, const Tensor& extremum, const Shape& axes) {
  const Tensor equal = cast(compare(CompareOp::equal, x, extremum), x.dtype());
  return divide(equal, sum(equal, axes, true));
}

/// e^x / sum(e^x), each sum over `axes`.
Variable softmax_over(const Variable& x, const Shape& axes) {
  const Shape kept = kept_shape(x.shape(), axes);
  Shape order, inverse = x.shape();  // the kept axes first
  int64_t count = 1;
  for (const bool reduced : {false, true}) {
    for (int i = 0; i < x.rank(); ++i) {
      if ((kept[i] != x.shape()[i]) != reduced) continue;
      order.append(i);
      if (reduced) count *= x.shape()[i];
    }
  }
  for (int i = 0; i < x.rank(); ++i) inverse[static_cast<int>(order[i])] = i;
  const Variable moved = permute(x, order);
  return permute(reshape(softmax(reshape(moved, {kept.elements(), count})), moved.shape()), inverse);
}

}  // namespace

Variable reduce(ReduceOp op, const Variable& x, const Shape& axes, bool keep_axes, double correction) {
  Tensor value = reduce(op, x.value(), axes, keep_axes, correction);
  const Shape shape = x.shape(), kept = kept_shape(shape, axes);
  const double count =
      kept.elements() ? static_cast<double>(shape.elements()) / static_cast<double>(kept.elements()) : 0;
  const auto spread = [shape, kept](const Variable& g) { return expand(reshape(g, kept), shape); };
  switch (op) {
    case ReduceOp::sum:
      // d(sum_i x_i) = sum_i dx_i
      return Tape::record("sum", std::move(value), {x},
                          [spread](const Variable& g) { return Gradients{spread(g)}; });
    case ReduceOp::mean:
      // d(1/n sum_i x_i) = 1/n sum_i dx_i
      return Tape::record("mean", std::move(value), {x},
                          [spread, count](const Variable& g) { return Gradients{spread(g * (1 / count))}; });
    case ReduceOp::max:
    case ReduceOp::min:
      // d(max_i x_i) = mean of dx_i over the i that attain it
      return Tape::record(
          op == ReduceOp::max ? "max" : "min", std::move(value), {x},
          [spread, kept, axes, x = Saved("x", x.value())](const Variable& g, const Variable& y) {
            const Tensor extremum = reshape(y.value(), kept);
            return Gradients{spread(g) * extremum_weights(x.value(), extremum, axes)};
          });
    case ReduceOp::logsumexp:
      // d(log sum_i e^x_i) = sum_i softmax(x)_i dx_i; not e^(x - y), as y is rounded
      return Tape::record("logsumexp", std::move(value), {x},
                          [kept, axes, x = Saved("x", x)](const Variable& g) {
                            return Gradients{reshape(g, kept) * softmax_over(x.variable(), axes)};
                          });
    case ReduceOp::variance:
      // d(sum_i (x_i - m)^2 / (n - c)) = sum_i 2 (x_i - m) / (n - c) dx_i; the mean's own part sums to 0
      return Tape::record(
          "variance", std::move(value), {x},
          [kept, x = Saved("x", x), axes, factor = 2 / (count - correction)](const Variable& g) {
            const Variable& at = x.variable();
            return Gradients{reshape(g * factor, kept) * (at - mean(at, axes, true))};
          });
    default:
      fail("reduce: no gradient rule for this operation");
  }
}

Variable sum(const Variable& x, const Shape& axes, bool keep_axes) {
  return reduce(ReduceOp::sum, x, axes, keep_axes);
}

Variable mean(const Variable& x, const Shape& axes, bool keep_axes) {
  return reduce(ReduceOp::mean, x, axes, keep_axes);
}

Variable sum_to(const Variable& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  // The adjoint of expand.
  return Tape::record("sum_to", sum_to(x.value(), shape), {x},
                      [from = x.shape()](const Variable& g) { return Gradients{expand(g, from)}; });
}

}  // namespace haze
