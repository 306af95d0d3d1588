#include "haze/autograd/rules.h"

namespace haze {
namespace {

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

std::pair<Variable, Tensor> sort(const Variable& x, bool descending, int axis) {
  if (!is_last(axis, x)) return transposed(sort(transpose(x, axis, -1), descending), axis);
  return taken("sort", x, sort(x.value(), descending));
}

std::pair<Variable, Tensor> top_k(const Variable& x, int64_t k, int axis) {
  if (!is_last(axis, x)) return transposed(top_k(transpose(x, axis, -1), k), axis);
  return taken("top_k", x, top_k(x.value(), k));
}

}  // namespace haze
