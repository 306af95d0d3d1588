#include <bit>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

TEST_CASE("attention: queries that see a NaN among the keys become NaN, and no others") {
  constexpr int64_t kLength = 150, kHeadSize = 8;
  Generator generator(3);
  const Shape shape{1, kLength, 1, kHeadSize};
  const Tensor query = normal(shape, generator), value = normal(shape, generator);
  AttentionOptions options;
  options.causal = true;
  // Bits of a NaN besides those that make it one must not matter.
  for (const uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7fc00001u, 0x7fc000ffu}) {
    for (const int64_t broken : {0, 7, 90, 127, 128, 149}) {
      INFO("bits ", bits, ", key ", broken);
      const Tensor key = normal(shape, generator);
      key.data<float>()[broken * kHeadSize] = std::bit_cast<float>(bits);
      const AttentionResult result = attention(query, key, value, options);
      int64_t wrong = 0;
      for (int64_t i = 0; i < kLength; ++i) {
        const bool sees = i >= broken;
        wrong += std::isnan(result.row_sum.data<float>()[i]) != sees;
        for (int64_t c = 0; c < kHeadSize; ++c) {
          wrong += std::isnan(result.output.data<float>()[i * kHeadSize + c]) != sees;
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("attention: scores that are too large for their rounding become NaN, not a wrong result") {
  constexpr int64_t kLength = 40, kHeadSize = 32;  // 1/sqrt(32) is no power of two
  Generator generator(5);
  const Shape shape{1, kLength, 1, kHeadSize};
  const Tensor query = normal(shape, generator), key = normal(shape, generator);
  for (const auto& [size, finite] : {std::pair{1e3, true}, {1e4, true}, {1e6, false}, {1e12, false}}) {
    INFO("numbers around ", size);
    const AttentionResult result =
        attention(scale_shift(query, size, 0), scale_shift(key, size, 0), query, {});
    for (int64_t i = 0; i < kLength; ++i) {
      CHECK(std::isnan(result.row_sum.data<float>()[i]) != finite);
      CHECK(std::isnan(result.output.data<float>()[i * kHeadSize]) != finite);
    }
  }
}
