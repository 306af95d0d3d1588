#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "haze/engine/host_device.h"
#include "haze/engine/memory.h"

namespace haze {

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). Its four 32-bit words
/// are a pure function of a 128-bit counter and a 64-bit key. So any element's random numbers can be computed
/// on any thread or device.
HAZE_HOST_DEVICE constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter,
                                                          std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// Where in a generator's stream an operation draws its numbers: handed to kernels instead of the generator
/// itself.
struct RandomPosition {
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint64_t counter = 0;
  /// Where set (random_base() of ops.h), a 64-bit number in the memory of a device that is added to `counter`
  /// when the kernel runs. So what the host has recorded once, such as a CUDA graph, draws new numbers each
  /// time it is run, if advance_counter() is part of it.
  Storage base = {};

  /// `counter` plus the base. For kernels: the host must not read the memory of a device.
  constexpr uint64_t first() const { return base ? counter + base_value() : counter; }
  /// The four words at `index` counters past this position. For kernels, as first().
  constexpr std::array<uint32_t, 4> words(uint64_t index) const {
    const uint64_t c = first() + index;
    return philox({static_cast<uint32_t>(c), static_cast<uint32_t>(c >> 32), static_cast<uint32_t>(stream),
                   static_cast<uint32_t>(stream >> 32)},
                  {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  }

 private:
  uint64_t base_value() const {
    uint64_t value;
    std::memcpy(&value, base.data(), sizeof(value));
    return value;
  }
};

/// A stream of random numbers. Same seed, same numbers, on every device and for every number of threads.
/// Streams of one seed with different numbers do not overlap.
class Generator {
 public:
  struct State {
    uint64_t seed = 0, stream = 0, counter = 0;
    friend bool operator==(const State&, const State&) = default;
  };

  explicit Generator(uint64_t seed, uint64_t stream = 0) : state_{seed, stream, 0} {}
  explicit Generator(State state) : state_(state) {}

  /// Takes the next `count` counters (four 32-bit words each) out of the stream and says where they start.
  RandomPosition reserve(uint64_t count) {
    RandomPosition position{state_.seed, state_.stream, state_.counter, base_};
    state_.counter += count;
    return position;
  }

  /// Uniform in [0, 1) with 53 random bits. Uses one counter. Throws Error where there is a base.
  double uniform();
  /// Uniform integer in [0, bound). Uses at least one counter. Throws Error where bound is 0 or there is a
  /// base.
  uint64_t below(uint64_t bound);

  /// The base of every position that is reserved from here on (see RandomPosition). It is not part of
  /// state().
  void set_base(Storage base) { base_ = std::move(base); }
  const Storage& base() const { return base_; }

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  std::array<uint32_t, 4> host_words();

  State state_;
  Storage base_;
};

/// A double in [0, 1) from 53 of the 64 bits of two words.
HAZE_HOST_DEVICE constexpr double unit_interval(uint32_t high, uint32_t low) {
  return static_cast<double>(((uint64_t{high} << 32) | low) >> 11) * 0x1p-53;
}

}  // namespace haze
