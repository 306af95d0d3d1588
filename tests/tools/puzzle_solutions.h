#pragma once

#include "haze/engine/call.h"

namespace haze::test {

/// The kernel of a puzzle of `haze lab`, repaired (puzzle_solutions.cu).
struct SolvedPuzzle {
  int number;  // from 1
  Tensor x, out;

  const char* name() const { return "solved"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::update, "the result", out); }
};

}  // namespace haze::test
