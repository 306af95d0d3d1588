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

/// The product of two matrices.
struct Matmul {
  static constexpr Rung kRungs[] = {
      {"naive", "A thread has one element of the result, and reads its row of a and its column of b."},
      {"shared tiles",
       "A block has a tile of the result, and reads tiles of a and b once for all its threads."},
      {"register tiles", "A thread has 4 x 4 elements, and uses a number 4 times that it has read."},
      {"asynchronous copies",
       "The next tiles come while these are multiplied; 16 bytes are read at once, 8 x 8 elements a thread."},
      {"tensor cores", "A warp multiplies 16 x 8 x 16 numbers of bfloat16 by one instruction."},
      {"tensor cores, tf32", "float32 loses all but 10 bits of its mantissa, and tensor cores multiply it."},
  };
  /// Whether a rung has kernels for operands of `dtype`: asynchronous copies and tf32 are for float32, mma's
  /// first is for bfloat16, the others take both.
  static constexpr bool takes(unsigned rung, Dtype dtype) {
    return rung == 3 || rung == 5 ? dtype == Dtype::float32
           : rung == 4            ? dtype == Dtype::bfloat16
                                  : dtype == Dtype::float32 || dtype == Dtype::bfloat16;
  }

  unsigned rung;
  Tensor a;    // contiguous [m, k], float32 or bfloat16
  Tensor b;    // contiguous [k, n], dtype of a
  Tensor out;  // contiguous [m, n] float32

  const char* name() const { return kRungs[rung].name; }
  double flops() const { return 2.0 * static_cast<double>(out.elements() * a.size(1)); }
  void each_operand(auto&& f) const {
    f(Use::read, "a", a), f(Use::read, "b", b), f(Use::write, "the result", out);
  }
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

/// Attention: softmax(scale Q K^T) V for each head.
struct Attention {
  static constexpr Rung kRungs[] = {
      {"scores in memory", "One kernel finds all scores, one their softmax, one the sums of values."},
      {"tiles, online softmax",
       "A block has a tile of queries and corrects its sums as tiles of keys go by: no score is in memory."},
      {"tensor cores",
       "A warp multiplies 16 x 8 x 16 numbers at once; scores stay in registers, and the next tile comes "
       "meanwhile."},
  };
  /// Whether a rung has kernels for operands of `dtype`.
  static constexpr bool takes(unsigned rung, Dtype dtype) {
    return dtype == Dtype::bfloat16 || (rung < 2 && dtype == Dtype::float32);
  }

  unsigned rung;
  Tensor query, key,
      value;    // contiguous [heads, length, size], size at most 128; tensor cores: multiples of 8
  float scale;  // of the scores
  bool causal;  // a query sees the keys up to its own position
  Tensor out;   // contiguous, like query
  /// [heads, length] float32, written by tiles and tensor cores: the weight of a key with the scaled score s
  /// is e^(s - max) / sum.
  Tensor max, sum;

  const char* name() const { return kRungs[rung].name; }
  double flops() const {
    return 4.0 * static_cast<double>(query.elements() * query.size(1)) / (causal ? 2 : 1);
  }
  void each_operand(auto&& f) const {
    f(Use::read, "query", query), f(Use::read, "key", key), f(Use::read, "value", value);
    f(Use::write, "the result", out), f(Use::write, "max", max), f(Use::write, "sum", sum);
  }
};

/// The gradient of attention, from the results of its forward pass by tiles.
struct AttentionGradient {
  static constexpr Rung kRungs[] = {
      {"recomputing",
       "A block computes tiles of weights again and adds up a tile of the gradient: none was kept."},
  };

  unsigned rung;
  Tensor g;  // contiguous, like forward.out
  Attention forward;
  Tensor to_query, to_key, to_value;  // contiguous, like query

  const char* name() const { return kRungs[rung].name; }
  double flops() const { return 2.5 * forward.flops(); }
  void each_operand(auto&& f) const {
    f(Use::read, "g", g);
    forward.each_operand([&](Use, const char* operand, const Tensor& x) { f(Use::read, operand, x); });
    f(Use::write, "the gradient of query", to_query), f(Use::write, "the gradient of key", to_key);
    f(Use::write, "the gradient of value", to_value);
  }
};

/// The convolution of images (conv2d) with a stride of 1.
struct Convolution {
  static constexpr Rung kRungs[] = {
      {"direct", "A thread has one element of the result, and reads its window and its weights."},
      {"image tiles",
       "A block brings the pixels under its own to shared memory, and reads them once for all taps."},
      {"implicit product",
       "Windows are columns of a matrix, gathered tile by tile: a number is used 8 times that a thread has "
       "read."},
  };

  unsigned rung;
  Tensor x;         // contiguous [batch, in, height, width], float32
  Tensor weight;    // contiguous [out, in, kernel_h, kernel_w], float32
  int64_t padding;  // on every side
  Tensor out;       // contiguous [batch, out, out_h, out_w], float32

  const char* name() const { return kRungs[rung].name; }
  double flops() const {
    return 2.0 * static_cast<double>(out.elements() * weight.size(1) * weight.size(2) * weight.size(3));
  }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "weight", weight), f(Use::write, "the result", out);
  }
};

}  // namespace haze::ladder
