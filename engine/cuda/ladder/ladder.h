#pragma once

#include "haze/engine/call.h"

/// Ladders: kernels for one operation, each of which is faster than the one before by one idea. The
/// operations of ops.h run the last rung, or one with its idea. The others are here to be read, and to be
/// compared by `haze lab`.
///
/// A ladder is a call (call.h) with the number of a rung: launch(ladder::Transpose{1, x, out}).
namespace haze::ladder {

struct Rung {
  const char* name;
  const char* idea;           // one sentence: what it does otherwise than the rung before
  bool deterministic = true;  // whether its bits are the same in every order of threads and blocks
};

/// The transposed of a matrix.
struct Transpose {
  static constexpr Rung kRungs[] = {
      {"naive", "A thread moves one element; a warp reads along a row and writes down a column."},
      {"tiled", "A block turns a tile in shared memory, so that a warp writes along a row, too."},
      {"padded", "Each row of the tile has one element more, so that a column lies in 32 banks."},
      {"swizzled", "Element (i, j) of the tile lies in column i ^ j, which needs no memory for padding."},
  };

  unsigned rung;
  Tensor x;    // contiguous [rows, columns], any dtype
  Tensor out;  // contiguous [columns, rows], dtype of x

  const char* name() const { return kRungs[rung].name; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
};

/// softmax of each row.
struct Softmax {
  static constexpr Rung kRungs[] = {
      {"three passes", "A thread has a row, and reads it for the maximum, for the sum and for the result."},
      {"online", "One pass finds maximum and sum: the sum is scaled whenever the maximum grows."},
      {"warp shuffles", "A warp has a row, so that its lanes read neighbouring elements."},
      {"vectors in registers", "A block has a row, reads 16 bytes a thread, and keeps them for the result."},
  };

  unsigned rung;
  Tensor x;    // contiguous [rows, columns], floating
  Tensor out;  // like x

  const char* name() const { return kRungs[rung].name; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
};

/// The sum of all elements.
struct Sum {
  static constexpr Rung kRungs[] = {
      {"shared tree", "The threads of a block add pairs of sums in shared memory, half as many each time."},
      {"warp shuffles", "A warp adds without memory; one barrier is left of the tree's eight."},
      {"vector loads", "A thread reads 16 bytes at once, four times, before it adds."},
      {"several blocks", "A block has 8192 elements; a second launch adds what the blocks found, in order."},
  };

  unsigned rung;
  Tensor x;    // contiguous, floating, not empty
  Tensor out;  // one element, dtype of x

  const char* name() const { return kRungs[rung].name; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
};

/// Adds each row of source to the row of target that its index names: the gradient of an embedding.
struct IndexAdd {
  static constexpr Rung kRungs[] = {
      {"atomics", "A thread adds an element by an atomic, in the order in which threads come.", false},
      {"sorted", "Indices are sorted; a thread adds all terms of an index in their order, in vectors."},
  };

  unsigned rung;
  Tensor indices;  // int32 [count]
  Tensor source;   // contiguous [count, inner], float32
  Tensor target;   // contiguous [extent, inner], float32

  const char* name() const { return kRungs[rung].name; }
  void each_operand(auto&& f) const {
    f(Use::read, "the indices", indices), f(Use::read, "source", source), f(Use::update, "target", target);
  }
};

/// The running sums of each row.
struct CumulativeSum {
  static constexpr Rung kRungs[] = {
      {"a thread a row", "A thread adds the elements of a row one after another."},
      {"warp shuffles", "A warp scans 32 neighbouring elements in five steps, and goes on from their sum."},
      {"several elements a thread",
       "A block scans vectors: a thread adds its own elements before it shuffles."},
  };

  unsigned rung;
  Tensor x;    // contiguous [rows, columns], floating
  Tensor out;  // like x

  const char* name() const { return kRungs[rung].name; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
};

}  // namespace haze::ladder
