#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct Rotary {
  Tensor x;             // [rows, heads, head_size], unit stride on the last axis, real
  Tensor cosine, sine;  // contiguous [table positions, head_size / 2], like x
  Tensor positions;     // contiguous int32 [rows]
  int64_t turned;       // heads
  bool inverse;
  Tensor out;  // contiguous, shape of x

  const char* name() const { return "rotary"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "cosine", cosine), f(Use::read, "sine", sine);
    f(Use::read, "positions", positions), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
