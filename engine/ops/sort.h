#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct Sort {
  Tensor x;  // dense [rows, columns], real or int32
  bool descending;
  Tensor values, indices;  // dense [rows, columns]; int32 indices

  const char* name() const { return "sort"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::write, "the values", values), f(Use::write, "the indices", indices);
  }
  void run(Cpu) const;
};

struct TopK {
  Tensor x;                // dense [rows, columns], real or int32
  Tensor values, indices;  // dense [rows, k]; int32 indices

  const char* name() const { return "top_k"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::write, "the values", values), f(Use::write, "the indices", indices);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
