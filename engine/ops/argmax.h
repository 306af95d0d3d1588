#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct Argmax {
  Tensor x;    // contiguous [outer, count, inner], floating, count > 0
  Tensor out;  // contiguous int32 [outer, inner]

  const char* name() const { return "argmax"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
