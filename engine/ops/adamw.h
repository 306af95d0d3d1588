#pragma once

#include <vector>

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

namespace haze::call {

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
  }
  void run(Cpu) const;
};

}  // namespace haze::call
