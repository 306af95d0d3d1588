#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct Fill {
  Tensor out;  // any strides, any dtype
  double value;

  const char* name() const { return "fill"; }
  void each_operand(auto&& f) const { f(Use::write, "the target", out); }
  void run(Cpu) const;
};

struct Arange {
  Tensor out;  // contiguous [count], any dtype

  const char* name() const { return "arange"; }
  void each_operand(auto&& f) const { f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
