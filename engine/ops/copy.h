#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct Copy {
  Tensor x;    // any strides, any dtype
  Tensor out;  // shape of x, any strides, any dtype

  const char* name() const { return x.dtype() == out.dtype() ? "copy" : "cast"; }
  std::string title() const;
  void each_operand(auto&& f) const { f(Use::read, "the source", x), f(Use::write, "the target", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
