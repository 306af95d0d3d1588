#pragma once

#include "haze/engine/call.h"

/// The calls of the puzzles' kernels, a file each.
namespace haze::puzzle {

/// The sum of 256 numbers.
struct LastWarp {
  Tensor x;    // float32 [256]
  Tensor out;  // float32 []

  const char* name() const { return "last_warp"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the sum", out); }
};

/// The transposed of a matrix.
struct WideTile {
  Tensor x;    // float32 [64, 64]
  Tensor out;  // float32 [64, 64]

  const char* name() const { return "wide_tile"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
};

/// The sum of 512 numbers.
struct TwoBlocks {
  Tensor x;    // float32 [512]
  Tensor out;  // float32 [], 0 before

  const char* name() const { return "two_blocks"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::update, "the sum", out); }
};

}  // namespace haze::puzzle
