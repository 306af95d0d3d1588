#pragma once

#include "haze/engine/call.h"

namespace haze {

struct Softmax {
  static constexpr const char* kName = "softmax";
  Tensor x;    // dense [rows, columns], real
  bool log;    // log_softmax
  Tensor out;  // like x

  std::string title() const { return log ? "log_softmax" : kName; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct SoftmaxGradient {
  static constexpr const char* kName = "softmax_gradient";
  Tensor y, g;  // dense [rows, columns], real
  bool log;     // of log_softmax
  Tensor out;   // like y

  std::string title() const { return log ? "log_softmax_gradient" : kName; }
  void each_operand(auto&& f) const {
    f(Use::read, "y", y), f(Use::read, "g", g), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze
