#include "haze/diffusion/random_streams.h"

namespace haze {

std::vector<Generator> random_streams(Generator& generator, size_t count) {
  const auto words = generator.reserve(1).words(0);
  const uint64_t seed = (uint64_t{words[0]} << 32) | words[1];
  std::vector<Generator> streams;
  streams.reserve(count);
  for (size_t i = 0; i < count; ++i) streams.emplace_back(seed, i);
  return streams;
}

}  // namespace haze
