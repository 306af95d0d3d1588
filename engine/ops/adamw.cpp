#include "haze/engine/ops/adamw.h"

#include "haze/engine/checks.h"

namespace haze {
void adamw_step(std::span<const AdamWSlot> slots, const AdamWOptions& options) {
  if (options.step < 1) fail("adamw_step: step {} counts from 1", options.step);
  if (slots.empty()) return;
  for (const AdamWSlot& slot : slots) {
    check_real("adamw_step", "parameter", slot.parameter);
    for (const Tensor* tensor : {&slot.parameter, &slot.gradient, &slot.first_moment, &slot.second_moment}) {
      check_same_dtype("adamw_step", slot.parameter, *tensor);
      check_shape("adamw_step", "gradient and moments", *tensor, slot.parameter.shape());
      if (!tensor->is_contiguous()) fail("adamw_step: parameter, gradient and moments must be dense");
    }
  }
  launch(call::AdamW{{slots.begin(), slots.end()}, options});
}

}  // namespace haze
