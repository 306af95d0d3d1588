#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops/random.h"

namespace haze::call {

/// Throws Error where a row is no distribution, or a uniform number lies outside [0, 1).
struct Categorical {
  Tensor log_probabilities;  // contiguous [rows, categories], floating
  Tensor uniforms;  // contiguous float64 [rows]; where it is undefined, row i uses counter i of the position
  RandomPosition position;
  Tensor out;  // contiguous int32 [rows]

  const char* name() const { return "categorical"; }
  void each_operand(auto&& f) const {
    f(Use::read, "log_probabilities", log_probabilities), f(Use::read, "uniforms", uniforms);
    f(Use::write, "the result", out), f(Use::read, "the random counter", base_operand(position));
  }
  void run(Cpu) const;
};

}  // namespace haze::call
