#include "haze/autograd/rules.h"

// Reductions, and what works on whole rows.
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

/// x in reverse order on one axis.
Variable flip(const Variable& x, int axis) {
  const int64_t count = x.size(axis);
  const Tensor last = full({}, static_cast<double>(count - 1), Dtype::int32, x.device());
  return index_select(x, axis, subtract(last, arange(count, Dtype::int32, x.device())));
}

bool is_last(int axis, const Variable& x) {
  return axis == -1 || axis == x.value().rank() - 1;
}

std::pair<Variable, Tensor> transposed(const std::pair<Variable, Tensor>& found, int axis) {
  return {transpose(found.first, axis, -1), contiguous(transpose(found.second, axis, -1))};
}

/// The values that sort() and top_k() moved to where they are from `indices` of the last axis.
std::pair<Variable, Tensor> taken(const char* operation, const Variable& x, std::pair<Tensor, Tensor> found) {
  // y_j = x_(i_j): the gradient of y_j goes to x_(i_j)
  Variable values = Tape::record(
      operation, std::move(found.first), {x},
      [shape = x.shape(), indices = Saved("indices", found.second)](const Variable& g) {
        return Gradients{scatter_add(zeros(shape, g.dtype(), g.device()), -1, indices.value(), g)};
      });
  return {std::move(values), std::move(found.second)};
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

Variable softmax(const Variable& x, int axis) {
  if (!is_last(axis, x)) return transpose(softmax(transpose(x, axis, -1)), axis, -1);
  // d(y_i) = y_i (dx_i - sum_j y_j dx_j)
  return Tape::record("softmax", softmax(x.value()), {x}, [](const Variable& g, const Variable& y) {
    if (!gradients_enabled()) return Gradients{softmax_gradient(y.value(), g.value())};
    return Gradients{y * (g - sum(g * y, {-1}, true))};
  });
}

Variable log_softmax(const Variable& x, int axis) {
  if (!is_last(axis, x)) return transpose(log_softmax(transpose(x, axis, -1)), axis, -1);
  // d(y_i) = dx_i - sum_j e^(y_j) dx_j
  return Tape::record("log_softmax", log_softmax(x.value()), {x}, [](const Variable& g, const Variable& y) {
    if (!gradients_enabled()) return Gradients{log_softmax_gradient(y.value(), g.value())};
    return Gradients{g - exp(y) * sum(g, {-1}, true)};
  });
}

Variable cumulative_sum(const Variable& x, int axis) {
  // d(y_i) = sum_(j <= i) dx_j: x_j gets the sum of g from j to the end
  return Tape::record("cumulative_sum", cumulative_sum(x.value(), axis), {x}, [axis](const Variable& g) {
    return Gradients{flip(cumulative_sum(flip(g, axis), axis), axis)};
  });
}

std::pair<Variable, Tensor> sort(const Variable& x, bool descending, int axis) {
  if (!is_last(axis, x)) return transposed(sort(transpose(x, axis, -1), descending), axis);
  return taken("sort", x, sort(x.value(), descending));
}

std::pair<Variable, Tensor> top_k(const Variable& x, int64_t k, int axis) {
  if (!is_last(axis, x)) return transposed(top_k(transpose(x, axis, -1), k), axis);
  return taken("top_k", x, top_k(x.value(), k));
}

}  // namespace haze
