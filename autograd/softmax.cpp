#include "haze/autograd/rules.h"

namespace haze {
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

}  // namespace haze
