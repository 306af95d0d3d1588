#include "haze/engine/ops/elementwise.h"

#include "haze/engine/checks.h"

namespace haze {
const char* name(UnaryOp op) {
  static constexpr const char* kNames[] = {
      "scale_shift", "absolute",   "sign",  "floor",     "ceil",   "round",    "square",  "sqrt",
      "rsqrt",       "reciprocal", "power", "exp",       "expm1",  "log",      "log1p",   "sin",
      "cos",         "tanh",       "erf",   "erfcx",     "erfinv", "log_ndtr", "sigmoid", "softplus",
      "relu",        "leaky_relu", "gelu",  "gelu_tanh", "silu",   "clamp"};
  static_assert(std::size(kNames) == static_cast<size_t>(UnaryOp::kCount));
  return kNames[static_cast<size_t>(op)];
}

const char* name(BinaryOp op) {
  static constexpr const char* kNames[] = {"add",          "subtract", "multiply",      "divide",
                                           "maximum",      "minimum",  "gelu_gradient", "gelu_tanh_gradient",
                                           "silu_gradient"};
  static_assert(std::size(kNames) == static_cast<size_t>(BinaryOp::kCount));
  return kNames[static_cast<size_t>(op)];
}

Tensor unary(UnaryOp op, const Tensor& x, double a, double b) {
  check_floating(name(op), "x", x);
  if (op == UnaryOp::leaky_relu && !(a >= 0)) fail("leaky_relu: the slope is {}; it takes 0 or more", a);
  Tensor result(x.shape(), x.dtype(), x.device());
  launch(call::Unary{op, x, a, b, result});
  return result;
}

Tensor binary(BinaryOp op, const Tensor& x, const Tensor& y) {
  check_same_dtype(name(op), x, y);
  const bool arithmetic = op <= BinaryOp::minimum;
  if (!(arithmetic && x.dtype() == Dtype::int32)) check_floating(name(op), "x", x);
  const Shape shape = broadcast_shape(x.shape(), y.shape(), name(op));
  Tensor result(shape, x.dtype(), x.device());
  launch(call::Binary{op, expand(x, shape), expand(y, shape), result});
  return result;
}

Tensor compare(CompareOp op, const Tensor& x, const Tensor& y) {
  check_same_dtype("compare", x, y);
  const Shape shape = broadcast_shape(x.shape(), y.shape(), "compare");
  Tensor result(shape, Dtype::uint8, x.device());
  launch(call::Compare{op, expand(x, shape), expand(y, shape), result});
  return result;
}

Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y) {
  check_dtype("where", "condition", condition, Dtype::uint8);
  check_same_dtype("where", x, y);
  const Shape shape =
      broadcast_shape(condition.shape(), broadcast_shape(x.shape(), y.shape(), "where"), "where");
  Tensor result(shape, x.dtype(), x.device());
  launch(call::Where{expand(condition, shape), expand(x, shape), expand(y, shape), result});
  return result;
}

void add_into(const Tensor& target, const Tensor& source) {
  check_same_dtype("add_into", target, source);
  check_floating("add_into", "target", target);
  check_contiguous("add_into", "the target", target);
  check_broadcasts_to("add_into", source, target);
  const Tensor terms = expand(same_or_disjoint(source, target), target.shape());
  launch(call::Binary{BinaryOp::add, target, terms, target});
}

}  // namespace haze
