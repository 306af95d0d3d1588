#include "haze/engine/generator.h"

#include "haze/engine/error.h"

namespace haze {

std::array<uint32_t, 4> Generator::host_words() {
  if (base_) fail("Generator: its base lies on {}, where the host cannot draw", name(base_.device()));
  return reserve(1).words(0);
}

double Generator::uniform() {
  const auto words = host_words();
  return unit_interval(words[0], words[1]);
}

uint64_t Generator::below(uint64_t bound) {
  if (bound == 0) fail("Generator::below: the bound is 0");
  // Rejecting the uneven top keeps every value equally likely.
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  while (true) {
    const auto words = host_words();
    const uint64_t value = (uint64_t{words[0]} << 32) | words[1];
    if (value < limit) return value % bound;
  }
}

}  // namespace haze
