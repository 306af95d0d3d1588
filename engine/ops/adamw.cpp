#include "haze/engine/ops/adamw.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

void check_options(const AdamWOptions& options) {
  if (options.device_step.defined()) {
    check_dtype("adamw_step", "device_step", options.device_step, Dtype::int32);
    check_shape("adamw_step", "device_step", options.device_step, {});
  } else if (options.step < 1) {
    fail("adamw_step: step {} counts from 1", options.step);
  }
  const auto check_number = [](const char* what, const Tensor& number) {
    if (!number.defined()) return;
    check_real("adamw_step", what, number);
    check_shape("adamw_step", what, number, {});
  };
  check_number("device_learning_rate", options.device_learning_rate);
  check_number("device_gradient_scale", options.device_gradient_scale);
}

}  // namespace

void adamw_step(std::span<const AdamWSlot> slots, const AdamWOptions& options) {
  check_options(options);
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
