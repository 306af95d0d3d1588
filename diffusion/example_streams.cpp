#include "haze/diffusion/example_streams.h"

namespace haze {

std::vector<Generator> example_streams(size_t count, Generator& generator) {
  const auto words = generator.reserve(1).words(0);
  const uint64_t seed = (uint64_t{words[0]} << 32) | words[1];
  std::vector<Generator> streams;
  for (size_t i = 0; i < count; ++i) streams.emplace_back(seed, i);
  return streams;
}

}  // namespace haze
