#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct CumulativeSum {
  Tensor x;    // contiguous [outer, count, inner], floating or int32
  Tensor out;  // like x

  const char* name() const { return "cumulative_sum"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
