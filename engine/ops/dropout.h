#pragma once

#include "haze/engine/call.h"
#include "haze/engine/generator.h"

namespace haze::call {

struct Dropout {
  Tensor x;  // any strides, real
  double probability;
  RandomPosition position;
  Tensor out;  // dense, like x

  const char* name() const { return "dropout"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
