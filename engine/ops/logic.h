#pragma once

#include "haze/engine/call.h"

namespace haze::call {

enum class LogicOp : uint8_t { logical_and, logical_or, logical_xor };

struct Logic {
  LogicOp op;
  Tensor x, y;  // uint8, expanded to the shape of out
  Tensor out;   // contiguous uint8: 0 or 1

  const char* name() const;
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "y", y), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
