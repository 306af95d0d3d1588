#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct Sort {
  Tensor x;  // contiguous [rows, columns], floating or int32
  bool descending;
  Tensor values, indices;  // contiguous [rows, columns]; int32 indices

  const char* name() const { return "sort"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::write, "the values", values), f(Use::write, "the indices", indices);
  }
  void run(Cpu) const;
};

struct TopK {
  Tensor x;                // contiguous [rows, columns], floating or int32
  Tensor values, indices;  // contiguous [rows, k]; int32 indices

  const char* name() const { return "top_k"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::write, "the values", values), f(Use::write, "the indices", indices);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
