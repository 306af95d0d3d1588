#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct AllFinite {
  Tensor x;    // contiguous, floating
  Tensor out;  // uint8 []

  const char* name() const { return "all_finite"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
