#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops/random.h"

namespace haze::call {

struct Dropout {
  Tensor x;  // any strides, floating
  double probability;
  RandomPosition position;
  Tensor out;  // contiguous, like x

  const char* name() const { return "dropout"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::write, "the result", out);
    f(Use::read, "the random counter", base_operand(position));
  }
  void run(Cpu) const;
};

}  // namespace haze::call
