#pragma once

#include <span>
#include <vector>

#include "haze/engine/tensor.h"

namespace haze {

/// Several sequences laid end to end: row r of a [rows, hidden] tensor is one token. Networks work on rows,
/// so a batch of sentences of different lengths holds no padding and spends no time on it. The offsets are
/// right by construction; the host plans by `lengths` and reads none of the tensors.
struct Sequences {
  Tensor offsets;                // int32 [count + 1]: where each sequence starts, and the number of rows
  Tensor positions;              // int32 [rows]: place of a row within its sequence
  Tensor index;                  // int32 [rows]: which sequence a row belongs to
  std::vector<int64_t> lengths;  // rows of each sequence, on the host: planning a pass reads no tensor
  int64_t count = 0;
  int64_t rows = 0;
  int64_t longest = 0;

  /// Throws Error on a negative length, and on more rows than int32 can count.
  static Sequences of_lengths(std::span<const int64_t> lengths, Device device = Device::cpu);
  /// The same with its tensors on `device`.
  Sequences to(Device device) const;
};

}  // namespace haze
