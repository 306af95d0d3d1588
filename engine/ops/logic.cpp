#include "haze/engine/ops/logic.h"

#include "haze/engine/checks.h"

namespace haze {

const char* call::Logic::name() const {
  static constexpr const char* kNames[] = {"logical_and", "logical_or", "logical_xor"};
  return kNames[static_cast<size_t>(op)];
}

namespace {

Tensor logic(call::LogicOp op, const Tensor& x, const Tensor& y) {
  const char* const name = call::Logic{op, {}, {}, {}}.name();
  check_dtype(name, "x", x, Dtype::uint8);
  check_dtype(name, "y", y, Dtype::uint8);
  const Shape shape = broadcast_shape(x.shape(), y.shape(), name);
  Tensor result(shape, Dtype::uint8, x.device());
  launch(call::Logic{op, expand(x, shape), expand(y, shape), result});
  return result;
}

}  // namespace

Tensor logical_and(const Tensor& x, const Tensor& y) {
  return logic(call::LogicOp::logical_and, x, y);
}
Tensor logical_or(const Tensor& x, const Tensor& y) {
  return logic(call::LogicOp::logical_or, x, y);
}
Tensor logical_xor(const Tensor& x, const Tensor& y) {
  return logic(call::LogicOp::logical_xor, x, y);
}
Tensor logical_not(const Tensor& x) {
  check_dtype("logical_not", "x", x, Dtype::uint8);
  return compare(CompareOp::equal, x, zeros({}, Dtype::uint8, x.device()));
}

}  // namespace haze
