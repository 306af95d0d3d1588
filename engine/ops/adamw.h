#pragma once

#include <vector>

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

namespace haze::call {

/// Throws Error where the step on the device is below 1.
struct AdamW {
  std::vector<AdamWSlot> slots;  // not empty
  AdamWOptions options;

  const char* name() const { return "adamw"; }
  void each_operand(auto&& f) const {
    for (const AdamWSlot& slot : slots) {
      f(Use::update, "a parameter", slot.parameter), f(Use::read, "its gradient", slot.gradient);
      f(Use::update, "its first moment", slot.first_moment);
      f(Use::update, "its second moment", slot.second_moment);
    }
    f(Use::read, "the learning rate", options.device_learning_rate);
    f(Use::read, "the gradient scale", options.device_gradient_scale);
    f(Use::read, "the step", options.device_step);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
