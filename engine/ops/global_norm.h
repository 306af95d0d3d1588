#pragma once

#include <vector>

#include "haze/engine/call.h"

namespace haze::call {

struct GlobalNorm {
  std::vector<Tensor> tensors;  // contiguous, floating
  Tensor out;                   // float64 []

  const char* name() const { return "global_norm"; }
  void each_operand(auto&& f) const {
    for (const Tensor& tensor : tensors) f(Use::read, "a tensor", tensor);
    f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

/// Throws Error where gradient_scale norm is not finite.
struct ClipScale {
  Tensor norm;  // real []
  double max_norm, gradient_scale;
  Tensor out;  // float64 []

  const char* name() const { return "device_clip_scale"; }
  void each_operand(auto&& f) const { f(Use::read, "the norm", norm), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
