#pragma once

#include <array>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/generator.h"

namespace haze::HAZE_KERNELS {

/// A RandomPosition as the argument of a kernel. Kernels with one are compiled without contraction (nvcc:
/// --fmad=false), so that their numbers have the cpu's bits.
class RandomStream {
 public:
  explicit RandomStream(const RandomPosition& position)
      : seed_(position.seed),
        stream_(position.stream),
        counter_(position.counter),
        base_(static_cast<const uint32_t*>(position.base.data())) {}

  /// As RandomPosition::words().
  __device__ std::array<uint32_t, 4> words(int64_t index) const {
    const uint64_t base = base_ ? uint64_t{base_[1]} << 32 | base_[0] : 0;
    const uint64_t c = counter_ + base + static_cast<uint64_t>(index);
    return philox({static_cast<uint32_t>(c), static_cast<uint32_t>(c >> 32), static_cast<uint32_t>(stream_),
                   static_cast<uint32_t>(stream_ >> 32)},
                  {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
  }

 private:
  uint64_t seed_, stream_, counter_;
  const uint32_t* base_;  // two words, the lower first, or null
};

}  // namespace haze::HAZE_KERNELS
