#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/ops.h"

#include "engine/statistics.h"
#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A few common ids after Zipf's law, and many rare ones of one small probability.
struct LongTail {
  static constexpr int64_t kCommon = 16, kRare = 50000;
  static constexpr double kRareProbability = 5e-8;
  std::vector<double> probabilities;

  LongTail() : probabilities(kCommon + kRare, kRareProbability) {
    double harmonic = 0;
    for (int64_t id = 0; id < kCommon; ++id) harmonic += 1.0 / static_cast<double>(id + 1);
    for (int64_t id = 0; id < kCommon; ++id) {
      probabilities[static_cast<size_t>(id)] = (1 - rare_mass()) / harmonic / static_cast<double>(id + 1);
    }
  }

  static double rare_mass() { return kRareProbability * static_cast<double>(kRare); }

  // Whether so many draws of a rare id are what chance allows, at a confidence of 99.9 %.
  static bool plausible(int64_t rare, int64_t draws) {
    return std::abs(poisson_deviation(rare, rare_mass() * static_cast<double>(draws))) < 3.29;
  }
};

float gumbel(uint32_t word) {
  // The smallest number stands in for 0, whose logarithm is infinite.
  const float u = std::max(static_cast<float>(word) * 0x1p-24f, 0x1p-25f);
  return -std::log(-std::log(u));
}

// How often argmax(log p + Gumbel noise) is a rare id, all in float32 with 24-bit uniform numbers. All rare
// ids have the same probability, so the one with the largest number stands for them; of n such numbers the
// largest is below k with a probability of (k / 2^24)^n, from which it is drawn at once.
int64_t rare_draws_of_float32_gumbel(const LongTail& tail, int64_t draws) {
  Generator generator(1);
  int64_t rare = 0;
  for (int64_t draw = 0; draw < draws; ++draw) {
    float best = -std::numeric_limits<float>::infinity();
    for (int64_t id = 0; id < LongTail::kCommon; ++id) {
      const auto word = static_cast<uint32_t>(generator.below(1 << 24));
      best = std::max(
          best, std::log(static_cast<float>(tail.probabilities[static_cast<size_t>(id)])) + gumbel(word));
    }
    const double largest = std::pow(1 - generator.uniform(), 1.0 / LongTail::kRare);
    const auto word = static_cast<uint32_t>(std::ceil(largest * 0x1p24) - 1);
    rare += std::log(static_cast<float>(LongTail::kRareProbability)) + gumbel(word) > best;
  }
  return rare;
}

Tensor log_of(const std::vector<double>& probabilities, int64_t rows, Dtype dtype) {
  std::vector<double> logs;
  for (double probability : probabilities) logs.push_back(std::log(probability));
  const auto count = static_cast<int64_t>(logs.size());
  return cast(contiguous(expand(Tensor::from(logs, {1, count}), {rows, count})), dtype);
}

}  // namespace

TEST_CASE("categorical inverts the cumulative sum of a long double reference") {
  Generator generator(5);
  const RandomPosition position{9, 1, 77};
  for (int64_t categories : {1, 2, 3, 31, 255, 512, 513, 1025, 5000, 70001}) {
    for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
      const double tolerance = dtype == Dtype::float32 ? 1e-6 : 1e-13;
      const int64_t rows = categories > 5000 ? 3 : 40;
      const Tensor x = normal({rows, categories}, generator, -1000, 4, dtype);
      const std::vector<int32_t> drawn = categorical(x, position).to_vector<int32_t>();
      for (int64_t row = 0; row < rows; ++row) {
        const std::vector<double> logs = slice(x, 0, row, row + 1).to_vector<double>();
        const int32_t id = drawn[static_cast<size_t>(row)];
        REQUIRE((id >= 0 && id < categories));
        long double total = 0, before = 0, up_to = 0;
        for (int32_t i = 0; i < categories; ++i) {
          if (i == id) before = total;
          total += std::exp(static_cast<long double>(logs[static_cast<size_t>(i)]) + 1000);
          if (i == id) up_to = total;
        }
        const auto words = position.words(static_cast<uint64_t>(row));
        const double unit = unit_interval(words[0], words[1]);
        CHECK(unit >= static_cast<double>(before / total) - tolerance);
        CHECK(unit <= static_cast<double>(up_to / total) + tolerance);
      }
    }
  }
}

TEST_CASE("categorical draws small categories as often as they should be (chi-squared, 99.9 %)") {
  const std::vector<double> probabilities = {0.4, 0.001, 0.3, 0.05, 0.2, 0.0005, 0.0485};
  constexpr int64_t kDraws = 200000;
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    std::vector<int64_t> counts(probabilities.size());
    std::vector<double> expected;
    for (double probability : probabilities) expected.push_back(probability * kDraws);
    const Tensor x = log_of(probabilities, kDraws, dtype);
    for (int32_t id : categorical(x, {13, 0, 0}).to_vector<int32_t>()) ++counts[static_cast<size_t>(id)];
    CHECK(chi_squared(counts, expected) < chi_squared_limit(counts.size() - 1));
  }
}

TEST_CASE("categorical draws Zipf's law over 50000 ids (chi-squared over octaves of rank, 99.9 %)") {
  constexpr int64_t kIds = 50000, kRows = 100, kCalls = 20;
  std::vector<double> probabilities;
  double total = 0;
  for (int64_t id = 0; id < kIds; ++id) {
    probabilities.push_back(1.0 / static_cast<double>(id + 1));
    total += probabilities.back();
  }
  const auto octave = [](int64_t id) { return static_cast<size_t>(std::log2(static_cast<double>(id + 1))); };
  std::vector<double> expected(octave(kIds - 1) + 1);
  for (int64_t id = 0; id < kIds; ++id) {
    expected[octave(id)] += probabilities[static_cast<size_t>(id)] / total * kRows * kCalls;
  }
  std::vector<int64_t> counts(expected.size());
  const Tensor x = log_of(probabilities, kRows, Dtype::float32);
  for (uint64_t call = 0; call < kCalls; ++call) {
    for (int32_t id : categorical(x, {14, 0, call * kRows}).to_vector<int32_t>()) ++counts[octave(id)];
  }
  CHECK(chi_squared(counts, expected) < chi_squared_limit(counts.size() - 1));
}

TEST_CASE("categorical gets a tail of 50000 ids of 5e-8 right, where float32 Gumbel noise fails (99.9 %)") {
  const LongTail tail;
  constexpr int64_t kRows = 64, kCalls = 256, kDraws = kRows * kCalls;
  const Tensor x = log_of(tail.probabilities, kRows, Dtype::float32);
  std::vector<int64_t> counts(LongTail::kCommon + 1);  // the rare ids together are the last
  for (uint64_t call = 0; call < kCalls; ++call) {
    for (int32_t id : categorical(x, {15, 0, call * kRows}).to_vector<int32_t>()) {
      ++counts[static_cast<size_t>(std::min<int64_t>(id, LongTail::kCommon))];
    }
  }
  std::vector<double> expected;
  for (int64_t id = 0; id < LongTail::kCommon; ++id) {
    expected.push_back(tail.probabilities[static_cast<size_t>(id)] * kDraws);
  }
  expected.push_back(LongTail::rare_mass() * kDraws);
  CHECK(chi_squared(counts, expected) < chi_squared_limit(counts.size() - 1));
  CHECK(LongTail::plausible(counts.back(), kDraws));
  CHECK_FALSE(LongTail::plausible(rare_draws_of_float32_gumbel(tail, kDraws), kDraws));
}

TEST_CASE("categorical never draws -infinity") {
  std::vector<double> logs(301, -kInfinity);
  for (size_t i = 100; i < 200; i += 2) logs[i] = -5;
  const Tensor x = contiguous(expand(Tensor::from(logs, {1, 301}), {20000, 301}));
  for (int32_t id : categorical(x, {16, 0, 0}).to_vector<int32_t>())
    REQUIRE(logs[static_cast<size_t>(id)] == -5);
  // One finite entry, however small or large, is always drawn.
  for (double value : {-1e30, 0.0, 1e30}) {
    std::vector<double> one(700, -kInfinity);
    one[650] = value;
    const Tensor y = contiguous(expand(Tensor::from(one, {1, 700}), {50, 700}));
    for (int32_t id : categorical(y, {17, 0, 0}).to_vector<int32_t>()) REQUIRE(id == 650);
  }
}

TEST_CASE("categorical draws in proportion, whatever constant is added to a row") {
  Generator generator(18);
  const Tensor x = normal({500, 40}, generator, 0, 2, Dtype::float64);
  const Tensor drawn = categorical(x, {18, 0, 0});
  CHECK(same_bits(drawn, categorical(scale_shift(x, 1, 512), {18, 0, 0})));
}

TEST_CASE("categorical: row i uses counter i, views are taken, and the bits do not depend on the threads") {
  Generator generator(19);
  const Tensor x = normal({301, 120}, generator);
  const RandomPosition position{20, 2, 40};
  const Tensor drawn = categorical(x, position);
  CHECK(same_bits(slice(drawn, 0, 100, 301), categorical(slice(x, 0, 100, 301), {20, 2, 140})));
  CHECK(same_bits(drawn, categorical(transpose(contiguous(transpose(x))), position)));
  CHECK(same_bits_on_threads([&] { return categorical(x, position); }));
  CHECK(categorical(zeros({0, 5}), position).shape() == Shape{0});
}

TEST_CASE("categorical says what is wrong") {
  Tensor x = zeros({3, 4}, Dtype::float64);
  double* entries = x.data<double>();
  entries[2 * 4 + 1] = NAN;
  CHECK_THROWS_WITH_AS(categorical(x, RandomPosition{}), "categorical: row 2 has a NaN at category 1", Error);
  entries[2 * 4 + 1] = kInfinity;
  CHECK_THROWS_WITH_AS(categorical(x, RandomPosition{}), "categorical: row 2 has +infinity at category 1",
                       Error);
  fill(slice(x, 0, 1, 2), -kInfinity);
  CHECK_THROWS_WITH_AS(categorical(x, RandomPosition{}), "categorical: row 1 has no finite log-probability",
                       Error);
  CHECK_THROWS_WITH_AS(categorical(zeros({2, 0}), RandomPosition{}),
                       "categorical: row 0 has no finite log-probability", Error);
  CHECK_THROWS_WITH_AS(categorical(zeros({4}), RandomPosition{}),
                       "categorical: log_probabilities has shape [4], it takes 2 axes", Error);
  CHECK_THROWS_WITH_AS(categorical(zeros({1, 4}, Dtype::int32), RandomPosition{}),
                       "categorical: log_probabilities is int32, it takes bfloat16, float32 or float64",
                       Error);
  CHECK_THROWS_WITH_AS(categorical(Tensor(), RandomPosition{}),
                       "categorical: log_probabilities is an undefined tensor", Error);
}
