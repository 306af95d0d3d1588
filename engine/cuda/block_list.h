#pragma once

#include "haze/engine/cuda/vector.h"

namespace haze::HAZE_KERNELS {

/// Elements of one array that a block takes.
inline constexpr int64_t kListChunk = 4096;

/// A list of arrays as the argument of one kernel. Most parameters of a model are small, and a launch for
/// each would leave most of a GPU idle. An array has a block for each chunk of its elements. The arguments of
/// a kernel have 4096 bytes at most, which limits kMost.
template <typename Item, int kMost>
struct BlockList {
  int count = 0;
  unsigned blocks = 0;
  unsigned first_blocks[kMost];
  Item items[kMost];

  bool is_full() const { return count == kMost; }
  void add(const Item& item, int64_t elements) {
    items[count] = item;
    first_blocks[count++] = blocks;
    blocks += static_cast<unsigned>((elements + kListChunk - 1) / kListChunk);
  }

  /// Which item the running block has a chunk of, and where the chunk begins.
  __device__ int own_item() const {
    int number = 0;
    while (number + 1 < count && first_blocks[number + 1] <= blockIdx.x) ++number;
    return number;
  }
  __device__ int64_t own_chunk(int item) const {
    return int64_t{blockIdx.x - first_blocks[item]} * kListChunk;
  }
};

}  // namespace haze::HAZE_KERNELS
