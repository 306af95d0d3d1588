#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct Softmax {
  Tensor x;    // contiguous [rows, columns], floating
  bool log;    // log_softmax
  Tensor out;  // like x

  const char* name() const { return log ? "log_softmax" : "softmax"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct SoftmaxGradient {
  Tensor y, g;  // contiguous [rows, columns], floating
  bool log;     // of log_softmax
  Tensor out;   // like y

  const char* name() const { return log ? "log_softmax_gradient" : "softmax_gradient"; }
  void each_operand(auto&& f) const {
    f(Use::read, "y", y), f(Use::read, "g", g), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
