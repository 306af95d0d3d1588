#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

namespace haze::call {

struct Reduce {
  ReduceOp op;
  Tensor x;  // contiguous [outer, count, inner], floating, count > 0
  double correction;
  Tensor out;  // contiguous [outer, inner]

  const char* name() const;
  std::string title() const { return std::string("reduce, ") + name(); }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct ReduceIntegers {
  ReduceOp op;  // sum, max or min
  Tensor x;     // contiguous [outer, count, inner], int32, or uint8 for a sum; count > 0
  Tensor out;   // contiguous int32 [outer, inner]

  const char* name() const;
  std::string title() const { return std::string("reduce, ") + name(); }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
