#pragma once

#include "haze/engine/call.h"
#include "haze/engine/generator.h"

namespace haze::call {

struct Uniform {
  RandomPosition position;
  double low, high;
  Tensor out;  // dense, real

  const char* name() const { return "uniform"; }
  void each_operand(auto&& f) const { f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct Normal {
  RandomPosition position;
  double mean, standard_deviation;
  Tensor out;  // dense, real

  const char* name() const { return "normal"; }
  void each_operand(auto&& f) const { f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
