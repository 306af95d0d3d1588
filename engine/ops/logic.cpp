#include "haze/engine/ops/logic.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

const char* name(LogicOp op) {
  static constexpr const char* kNames[] = {"logical_and", "logical_or", "logical_xor"};
  return kNames[static_cast<size_t>(op)];
}

Tensor logic(LogicOp op, const Tensor& x, const Tensor& y) {
  check_dtype(name(op), "x", x, Dtype::uint8);
  check_dtype(name(op), "y", y, Dtype::uint8);
  const Shape shape = broadcast_shape(x.shape(), y.shape(), name(op));
  Tensor result(shape, Dtype::uint8, x.device());
  launch(Logic{op, expand(x, shape), expand(y, shape), result});
  return result;
}

}  // namespace

std::string Logic::title() const {
  return name(op);
}

Tensor logical_and(const Tensor& x, const Tensor& y) {
  return logic(LogicOp::logical_and, x, y);
}
Tensor logical_or(const Tensor& x, const Tensor& y) {
  return logic(LogicOp::logical_or, x, y);
}
Tensor logical_xor(const Tensor& x, const Tensor& y) {
  return logic(LogicOp::logical_xor, x, y);
}
Tensor logical_not(const Tensor& x) {
  check_dtype("logical_not", "x", x, Dtype::uint8);
  return compare(CompareOp::equal, x, zeros({}, Dtype::uint8, x.device()));
}

}  // namespace haze
