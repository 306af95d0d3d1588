#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "haze/engine/memory.h"

namespace haze {

/// Which positions of a list of indices hold each index, in order: those of index v are positions[starts[v],
/// starts[v + 1]).
class PositionsByIndex {
 public:
  static constexpr int64_t kAhead = 2;

  PositionsByIndex(const int32_t* index, int64_t count, int64_t extent)
      : storage_(allocate(static_cast<size_t>(extent + 2 + count + kAhead) * sizeof(int32_t))) {
    // A counting sort. At first, entry v + 2 counts index v; their sums so far are where index v + 1 begins,
    // and while positions are filled in, entry v + 1 moves from the start of index v to its end.
    starts_ = static_cast<int32_t*>(storage_.data());
    positions_ = starts_ + extent + 2;
    std::fill_n(starts_, extent + 2, 0);
    std::fill_n(positions_ + count, kAhead, 0);
    for (int64_t i = 0; i < count; ++i) ++starts_[index[i] + 2];
    for (int64_t v = 2; v < extent + 2; ++v) starts_[v] += starts_[v - 1];
    for (int64_t i = 0; i < count; ++i) positions_[starts_[index[i] + 1]++] = static_cast<int32_t>(i);
  }

  /// Behind each position stand the next kAhead that the walk from index to index comes to.
  std::span<const int32_t> of(int64_t index) const {
    return {positions_ + starts_[index], positions_ + starts_[index + 1]};
  }

 private:
  Storage storage_;
  int32_t *starts_, *positions_;
};

}  // namespace haze
