#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/cpu/simd/instruction_set.h"
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
      for (Device device : {Device::cpu, Device::simt}) {
        const AttentionResult result =
            attention(to(query, device), to(key, device), to(value, device), options);
        const std::vector<float> output = result.output.to_vector<float>(),
                                 row_sum = result.row_sum.to_vector<float>();
        int64_t wrong = 0;
        for (size_t i = 0; i < output.size(); ++i) {
          const bool sees = static_cast<int64_t>(i) / kHeadSize >= broken;
          wrong += std::isnan(output[i]) != sees;
          wrong += std::isnan(row_sum[i / kHeadSize]) != sees;
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("attention: scores that are too large for their rounding become NaN, not a wrong result") {
  constexpr int64_t kLength = 40, kHeadSize = 32;  // 1/sqrt(32) is no power of two
  Generator generator(5);
  const Shape shape{1, kLength, 1, kHeadSize};
  const Tensor query = normal(shape, generator), key = normal(shape, generator);
  struct Scores {
    double size;
    bool finite;
  };
  for (const Scores& of : {Scores{1e3, true}, {1e4, true}, {1e6, false}, {1e12, false}}) {
    INFO("numbers around ", of.size);
    const AttentionResult result =
        attention(scale_shift(query, of.size, 0), scale_shift(key, of.size, 0), query, {});
    for (int64_t i = 0; i < kLength; ++i) {
      CHECK(std::isnan(result.row_sum.data<float>()[i]) != of.finite);
      CHECK(std::isnan(result.output.data<float>()[i * kHeadSize]) != of.finite);
    }
  }
}

namespace {

struct Inputs {
  Tensor query, key, value, g;  // [1, 150, 1, 4]

  Inputs in(Dtype dtype) const {
    return {cast(query, dtype), cast(key, dtype), cast(value, dtype), cast(g, dtype)};
  }
  Inputs on(Device device) const {
    return {to(query, device), to(key, device), to(value, device), to(g, device)};
  }
};

// The first column gives the scores, exactly in float32, as query_size times whole numbers of [first, first +
// 8): the other columns of the query are 0.
Inputs with_exact_scores(double query_size, double first) {
  constexpr int64_t kLength = 150;
  Generator generator(7);
  const Shape shape{1, kLength, 1, 4};
  const Inputs result{zeros(shape), normal(shape, generator), normal(shape, generator),
                      normal(shape, generator)};
  const std::vector<double> draws = uniform({kLength}, generator, 0, 8).to_vector<double>();
  for (int64_t i = 0; i < kLength; ++i) {
    result.query.data<float>()[4 * i] = static_cast<float>(i % 3 == 0 ? -query_size : query_size);
    result.key.data<float>()[4 * i] = static_cast<float>(first + std::floor(draws[static_cast<size_t>(i)]));
  }
  return result;
}

double largest(const Tensor& x) {
  double result = 0;
  for (double value : x.to_vector<double>()) {
    if (!(std::abs(value) <= result)) result = std::abs(value);
    if (std::isnan(result)) return result;
  }
  return result;
}

double largest_difference(const Tensor& x, const Tensor& y) {
  return largest(
      subtract(cast(to(x, Device::cpu), Dtype::float64), cast(to(y, Device::cpu), Dtype::float64)));
}

}  // namespace

TEST_CASE(
    "attention: weights and gradients of scores near 10^4 and 2^26 are float64's, to float32's digits") {
  struct Size {
    double query, first, scale;
  };
  std::vector<Size> sizes = {{1.0 / 16, 1.28e6, 0.125}, {64, 8.38e6, 0.125}};
  // The baseline of x86-64 has no fused multiply-add: there the product by such a scale is rounded.
  if (instruction_set() != InstructionSet::baseline) {
    constexpr auto kNoPowerOfTwo = static_cast<double>(0.1f);
    sizes.insert(sizes.end(), {{1.0 / 16, 1.6e6, kNoPowerOfTwo}, {64, 1.0485e7, kNoPowerOfTwo}});
  }
  AttentionOptions options;
  for (const Size& size : sizes) {
    options.scale = size.scale;
    INFO("scores near ", size.query * size.first * options.scale);
    const Inputs exact = with_exact_scores(size.query, size.first);
    const Inputs wide = exact.in(Dtype::float64);
    const AttentionResult want = attention(wide.query, wide.key, wide.value, options);
    const AttentionGradient of_wide =
        attention_gradient(wide.g, wide.query, wide.key, wide.value, want, options);
    for (Device device : {Device::cpu, Device::simt}) {
      const Inputs single = exact.on(device);
      const AttentionResult got = attention(single.query, single.key, single.value, options);
      CHECK(largest_difference(got.output, want.output) < 2e-6);
      const AttentionGradient of_single =
          attention_gradient(single.g, single.query, single.key, single.value, got, options);
      CHECK(largest_difference(of_single.value, of_wide.value) < 1e-6 * largest(of_wide.value));
      CHECK(largest_difference(of_single.key, of_wide.key) < 2e-6 * largest(of_wide.key));
      // The first column of the keys is so large that the gradient by the query's cancels.
      const auto rest = [](const Tensor& x) { return slice(to(x, Device::cpu), 3, 1, 4); };
      CHECK(largest_difference(rest(of_single.query), rest(of_wide.query)) < 2e-6);
    }
  }
}

TEST_CASE("attention: a pair that a mask rules out does not count, even where its score is NaN") {
  Generator generator(9);
  const Shape shape{1, 40, 2, 8};
  const Tensor query = normal(shape, generator), key = normal(shape, generator), g = normal(shape, generator);
  const Tensor value = normal(shape, generator);
  const Tensor first_30 = slice(key, 1, 0, 30);
  AttentionOptions none;
  const AttentionResult want = attention(query, first_30, slice(value, 1, 0, 30), none);
  fill(slice(key, 1, 30, 40), std::nan(""));
  AttentionOptions seen, added;
  seen.pair_mask = zeros({40}, Dtype::uint8);
  fill(slice(seen.pair_mask, 0, 0, 30), 1);
  added.pair_mask = full({40}, -std::numeric_limits<double>::infinity());
  fill(slice(added.pair_mask, 0, 0, 30), 0);
  for (const AttentionOptions& options : {seen, added}) {
    const AttentionResult got = attention(query, key, value, options);
    CHECK(largest_difference(got.output, want.output) < 1e-6);
    const Tensor of_first_30 =
        attention_gradient(g, query, first_30, slice(value, 1, 0, 30), want, none).value;
    const Tensor of_value = attention_gradient(g, query, key, value, got, options).value;
    CHECK(largest_difference(slice(of_value, 1, 0, 30), of_first_30) < 1e-6);
    CHECK(largest(slice(of_value, 1, 30, 40)) == 0);
  }
}

TEST_CASE("attention: on another device, wrong offsets are reported by name at the next synchronisation") {
  const Tensor x = to(ones({1, 6, 2, 4}), Device::guarded);
  AttentionOptions options;
  options.query_offsets = Tensor::from<int32_t>({0, 2, 6}, {3}, Device::guarded);
  const AttentionResult right = attention(x, x, x, options);
  CHECK(right.output.at({0, 5, 1, 3}) == 1);
  options.key_offsets = Tensor::from<int32_t>({0, 7, 6}, {3}, Device::guarded);
  attention(x, x, x, options);
  CHECK_THROWS_WITH_AS(synchronize(Device::guarded),
                       "attention: key_offsets must rise from 0 to 6, the number of rows", Error);
  attention_gradient(x, x, x, x, right, options);
  CHECK_THROWS_WITH_AS(synchronize(Device::guarded),
                       "attention_gradient: key_offsets must rise from 0 to 6, the number of rows", Error);
  options.key_offsets = Tensor::from<int32_t>({0, 2, 6}, {3});
  CHECK_THROWS_WITH_AS(
      attention(x, x, x, options),
      "attention: query is on guarded and key_offsets on cpu; bring them to one device with to()", Error);
}
