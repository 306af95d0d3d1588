#pragma once

#include "haze/engine/call.h"

namespace haze::call {

struct SearchSorted {
  Tensor sorted;  // contiguous [rows, n], floating or int32
  Tensor values;  // contiguous [rows, m]
  bool right;
  Tensor out;  // contiguous int32 [rows, m]

  const char* name() const { return "searchsorted"; }
  void each_operand(auto&& f) const {
    f(Use::read, "sorted", sorted), f(Use::read, "values", values), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
