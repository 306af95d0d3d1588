#pragma once

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "haze/autograd/ops.h"
#include "haze/engine/ops/random.h"

/// Helpers of several gradient rules. Not part of the library's interface.
namespace haze {

/// x where the rule will read it, otherwise nothing: the tape keeps alive no value that no rule needs.
inline Saved saved_if(bool read, const char* role, const Variable& x) {
  return read ? Saved(role, x) : Saved();
}
inline Tensor kept_if(bool read, const Tensor& x) {
  return read ? x : Tensor();
}

/// Whether something downstream may ask for the gradient of one of `inputs`.
inline bool any_needs_gradient(std::initializer_list<const Variable*> inputs) {
  return std::any_of(inputs.begin(), inputs.end(), [](const Variable* x) { return Tape::must_record(*x); });
}

/// Within a rule: whether the backward pass needs the gradient of the operation's input `index`.
inline bool needed(size_t index) {
  return Tape::gradient_needed(index);
}

/// The position at which a forward pass drew its random numbers, for a backward pass that draws them again.
/// Reading it throws Error where the counter on the device has moved in between.
class SavedPosition {
 public:
  explicit SavedPosition(const RandomPosition& position)
      : position_(position), base_("random counter", base_operand(position)) {}
  const RandomPosition& read() const {
    base_.value();
    return position_;
  }

 private:
  RandomPosition position_;
  Saved base_;
};

/// g where `mask` is 1, elsewhere 0.
inline Variable masked(const Tensor& mask, const Variable& g) {
  return where(mask, g, zeros({}, g.dtype(), g.device()));
}

/// x as what it is computed in: float32 where it is bfloat16. For rules of several steps, which would round
/// after each.
inline Variable widened(const Variable& x) {
  return x.defined() ? cast(x, wide_dtype(x.dtype())) : x;
}

/// x as [rows, size of the last axis].
inline Shape rows_shape(const Shape& shape) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < shape.rank(); ++i) rows *= shape[i];
  return {rows, shape.back()};
}

/// Whether `axis` is the last of x.
inline bool is_last(int axis, const Variable& x) {
  return axis == -1 || axis == x.rank() - 1;
}

/// The gradient of x in n = (x - m) r, from the gradient h of n. m and 1 / r are the mean and standard
/// deviation of each row. Rows lie on the last axis.
inline Variable through_standardization(const Variable& h, const Variable& n, const Variable& rstd) {
  return rstd * (h - mean(h, {-1}, true) - n * mean(h * n, {-1}, true));
}

/// 1 / sqrt(variance + epsilon) of each row.
inline Variable reciprocal_deviation(const Variable& rows, double epsilon) {
  return unary(UnaryOp::rsqrt, reduce(ReduceOp::variance, rows, {-1}, true) + epsilon);
}

}  // namespace haze
