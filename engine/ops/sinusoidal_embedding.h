#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct SinusoidalEmbedding {
  Tensor x;  // contiguous [count], real
  double max_period;
  Tensor out;  // contiguous [count, width], like x

  const char* name() const { return "sinusoidal_embedding"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
