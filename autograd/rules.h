#pragma once

#include <initializer_list>
#include <utility>

#include "haze/autograd/ops.h"

/// What several gradient rules share. Not part of the library's interface.
namespace haze {

/// x where the rule will read it, otherwise nothing: the tape keeps alive no value that no rule needs.
inline Variable kept_if(bool read, const Variable& x) {
  return read ? x : Variable();
}
inline Tensor kept_if(bool read, const Tensor& x) {
  return read ? x : Tensor();
}

/// Whether something downstream may ask for the gradient of one of `inputs`.
inline bool any_needs_gradient(std::initializer_list<const Variable*> inputs) {
  if (!gradients_enabled()) return false;
  for (const Variable* input : inputs) {
    if (input->requires_gradient()) return true;
  }
  return false;
}

/// Throws Error where the backward pass under way is itself being recorded: fused rules work on Tensors.
inline void refuse_second_derivative(const char* operation) {
  if (gradients_enabled()) {
    fail("{}: a fused operation has no second derivative; compose it from simpler operations", operation);
  }
}

/// Where a forward pass drew its random numbers, for a backward pass that draws them again.
class KeptPosition {
 public:
  explicit KeptPosition(RandomPosition position)
      : position_(std::move(position)), version_(position_.base.version()) {}

  const RandomPosition& value() const { return position_; }
  /// Throws Error where the counter on the device has moved since: other numbers stand there now.
  void check_unchanged(const char* operation) const {
    if (position_.base.version() == version_) return;
    fail("{}: {} changed the random counter between the forward and the backward pass", operation,
         position_.base.written_by());
  }

 private:
  RandomPosition position_;
  uint32_t version_;
};

/// g where `mask` is 1, elsewhere 0.
inline Variable masked(const Tensor& mask, const Variable& g) {
  return where(mask, g, zeros({}, g.dtype()));
}

/// What values of `dtype` are multiplied and added up in, and so the dtype of their gradients: float32 for
/// bfloat16, which has too few digits for sums, otherwise the same.
inline Dtype wide_dtype(Dtype dtype) {
  return dtype == Dtype::bfloat16 ? Dtype::float32 : dtype;
}

/// x as [rows, size of the last axis].
inline Shape rows_shape(const Shape& shape) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < shape.rank(); ++i) rows *= shape[i];
  return {rows, shape.back()};
}

}  // namespace haze
