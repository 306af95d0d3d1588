#include "haze/engine/ops/softmax.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

Tensor softmax_of(const char* operation, const Tensor& x, bool log, int axis) {
  check_floating(operation, "x", x);
  if (const int a = checked_axis(operation, x, axis); a != x.rank() - 1) {
    return contiguous(transpose(softmax_of(operation, transpose(x, a, -1), log, -1), a, -1));
  }
  Tensor result(x.shape(), x.dtype(), x.device());
  launch(call::Softmax{as_rows(x), log, as_rows(result)});
  return result;
}

Tensor gradient_of(const char* operation, const Tensor& y, const Tensor& g, bool log) {
  check_floating(operation, "y", y);
  checked_axis(operation, y, -1);
  check_same_dtype(operation, y, g);
  check_shape(operation, "g", g, y.shape());
  Tensor result(y.shape(), y.dtype(), y.device());
  launch(call::SoftmaxGradient{as_rows(y), as_rows(g), log, as_rows(result)});
  return result;
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  return softmax_of("softmax", x, false, axis);
}
Tensor log_softmax(const Tensor& x, int axis) {
  return softmax_of("log_softmax", x, true, axis);
}

Tensor softmax_gradient(const Tensor& y, const Tensor& g) {
  return gradient_of("softmax_gradient", y, g, false);
}
Tensor log_softmax_gradient(const Tensor& y, const Tensor& g) {
  return gradient_of("log_softmax_gradient", y, g, true);
}

}  // namespace haze
