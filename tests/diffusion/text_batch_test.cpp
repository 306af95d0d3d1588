#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/masking.h"
#include "haze/diffusion/random_times.h"

#include "engine/statistics.h"

namespace haze {
namespace {

constexpr int32_t kMask = 9;

TextBatch ragged_batch() {
  const std::vector<std::vector<int32_t>> texts = {{1, 2, 3, 4, 5}, {6}, {7, 8, 0, 9}};
  return TextBatch::of(texts);
}

// Masked tokens of each sequence.
std::vector<int64_t> masked_counts(const TextBatch& x_0, const MaskedBatch& masked) {
  std::vector<int64_t> counts(static_cast<size_t>(x_0.sequences.count));
  const std::vector<int32_t> index = x_0.sequences.index.to_vector<int32_t>();
  for (int32_t row : masked.masked.to_vector<int32_t>())
    ++counts[static_cast<size_t>(index[static_cast<size_t>(row)])];
  return counts;
}

// What every masked batch owes to the batch it was made from.
void check_consistent(const TextBatch& x_0, const MaskedBatch& masked) {
  const std::vector<int32_t> before = x_0.ids.to_vector<int32_t>(), after = masked.x_t.to_vector<int32_t>(),
                             rows = masked.masked.to_vector<int32_t>(),
                             targets = masked.targets.to_vector<int32_t>();
  REQUIRE(after.size() == before.size());
  REQUIRE(targets.size() == rows.size());
  size_t next = 0;
  for (size_t row = 0; row < before.size(); ++row) {
    if (next < rows.size() && rows[next] == static_cast<int32_t>(row)) {
      REQUIRE(after[row] == kMask);
      REQUIRE(targets[next] == before[row]);
      ++next;
    } else {
      REQUIRE(after[row] == before[row]);
    }
  }
  REQUIRE(next == rows.size());
}

// Which places of sequence `sequence` are masked, as bits.
unsigned subset_of(const TextBatch& x_0, const MaskedBatch& masked, int32_t sequence) {
  const int32_t* index = x_0.sequences.index.data<int32_t>();
  const int32_t* positions = x_0.sequences.positions.data<int32_t>();
  unsigned subset = 0;
  for (int32_t row : masked.masked.to_vector<int32_t>()) {
    if (index[row] == sequence) subset |= 1u << positions[row];
  }
  return subset;
}

}  // namespace

TEST_CASE("mask_tokens masks each token by itself: counts are binomial and so is every subset (99.9 %)") {
  const TextBatch x_0 = ragged_batch();
  const std::vector<double> probabilities = {0.4, 0.25, 0.7};
  const std::vector<int> lengths = {5, 1, 4};
  constexpr int kDraws = 20000;
  Generator generator(1);
  std::vector<std::vector<int64_t>> counts, subsets;
  for (int length : lengths) {
    counts.emplace_back(length + 1);
    subsets.emplace_back(1u << length);
  }
  for (int draw = 0; draw < kDraws; ++draw) {
    const MaskedBatch masked = mask_tokens(x_0, probabilities, kMask, generator);
    if (draw < 200) check_consistent(x_0, masked);
    for (size_t i = 0; i < lengths.size(); ++i) {
      ++counts[i][static_cast<size_t>(masked_counts(x_0, masked)[i])];
      ++subsets[i][subset_of(x_0, masked, static_cast<int32_t>(i))];
    }
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    std::vector<double> binomial(counts[i].size()), of_subsets;
    for (unsigned subset = 0; subset < subsets[i].size(); ++subset) {
      const int k = __builtin_popcount(subset);
      const double p =
          std::pow(probabilities[i], k) * std::pow(1 - probabilities[i], lengths[i] - k) * kDraws;
      of_subsets.push_back(p);
      binomial[static_cast<size_t>(k)] += p;
    }
    CHECK(test::chi_squared(counts[i], binomial) < test::chi_squared_limit(binomial.size() - 1));
    CHECK(test::chi_squared(subsets[i], of_subsets) < test::chi_squared_limit(of_subsets.size() - 1));
  }
}

TEST_CASE("mask_tokens masks everything at probability 1 and nothing at 0") {
  const TextBatch x_0 = ragged_batch();
  Generator generator(2);
  for (int draw = 0; draw < 100; ++draw) {
    const MaskedBatch masked = mask_tokens(x_0, std::vector<double>{1, 0, 1}, kMask, generator);
    check_consistent(x_0, masked);
    CHECK(masked_counts(x_0, masked) == std::vector<int64_t>{5, 0, 4});
  }
}

TEST_CASE("mask_exactly masks as many as asked, every choice equally likely (chi-squared, 99.9 %)") {
  const TextBatch x_0 = ragged_batch();
  constexpr int kDraws = 12000;
  Generator generator(3);
  std::vector<int64_t> pairs(1u << 5), triples(1u << 4);
  for (int draw = 0; draw < kDraws; ++draw) {
    const MaskedBatch masked = mask_exactly(x_0, std::vector<int64_t>{2, 1, 3}, kMask, generator);
    if (draw < 200) check_consistent(x_0, masked);
    REQUIRE(masked_counts(x_0, masked) == std::vector<int64_t>{2, 1, 3});
    ++pairs[subset_of(x_0, masked, 0)];
    ++triples[subset_of(x_0, masked, 2)];
  }
  const auto check_even = [](const std::vector<int64_t>& subsets, int k, double choices) {
    std::vector<int64_t> counts;
    for (unsigned subset = 0; subset < subsets.size(); ++subset) {
      if (__builtin_popcount(subset) == k) counts.push_back(subsets[subset]);
    }
    REQUIRE(static_cast<double>(counts.size()) == choices);
    CHECK(test::chi_squared(counts, std::vector<double>(counts.size(), kDraws / choices)) <
          test::chi_squared_limit(counts.size() - 1));
  };
  check_even(pairs, 2, 10);
  check_even(triples, 3, 4);
}

TEST_CASE("mask_exactly takes 0 and all") {
  const TextBatch x_0 = ragged_batch();
  Generator generator(4);
  const MaskedBatch masked = mask_exactly(x_0, std::vector<int64_t>{0, 1, 4}, kMask, generator);
  check_consistent(x_0, masked);
  CHECK(masked.masked.to_vector<int32_t>() == std::vector<int32_t>{5, 6, 7, 8, 9});
}

TEST_CASE(
    "a mask probability of k of n tokens is Beta(k, n - k + 1), by its distribution function (99.9 %)") {
  constexpr int kDraws = 20000;
  constexpr double kLimit = 1.9495;  // of sqrt(n) times Kolmogorov and Smirnov's statistic, at 99.9 %
  const auto binomial_tail = [](int n, int k, double p) {  // P(at least k of n), which is Beta's F(p)
    double sum = 0;
    for (int j = k; j <= n; ++j) {
      sum += std::exp(std::lgamma(n + 1) - std::lgamma(j + 1) - std::lgamma(n - j + 1)) * std::pow(p, j) *
             std::pow(1 - p, n - j);
    }
    return sum;
  };
  Generator generator(6);
  for (const auto& [n, k] : std::vector<std::pair<int, int>>{{1, 1}, {5, 1}, {5, 3}, {5, 5}, {40, 7}}) {
    const std::vector<int32_t> text(static_cast<size_t>(n), 1);
    const TextBatch one = TextBatch::of(std::vector<std::vector<int32_t>>{text});
    std::vector<double> p;
    for (int draw = 0; draw < kDraws; ++draw) {
      p.push_back(
          mask_exactly_at_probability(one, std::vector<int64_t>{k}, kMask, generator).mask_probability[0]);
    }
    std::sort(p.begin(), p.end());
    double distance = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double expected = binomial_tail(n, k, p[static_cast<size_t>(i)]);
      distance = std::max({distance, expected - static_cast<double>(i) / kDraws,
                           static_cast<double>(i + 1) / kDraws - expected});
    }
    CHECK(distance * std::sqrt(kDraws) < kLimit);
  }
}

TEST_CASE("masks drawn with a mask probability: as many as asked, evenly, and independent of it (99.9 %)") {
  const TextBatch x_0 = ragged_batch();
  constexpr int kDraws = 12000;
  constexpr double kMedian = 0.3138102;  // of Beta(2, 4)
  Generator generator(7);
  std::vector<size_t> number(1u << 5);
  size_t pairs = 0;
  for (unsigned subset = 0; subset < number.size(); ++subset) {
    if (__builtin_popcount(subset) == 2) number[subset] = pairs++;
  }
  std::vector<int64_t> below(pairs), above(pairs);  // each choice of 2 of 5, by p's side of its median
  for (int draw = 0; draw < kDraws; ++draw) {
    const auto [masked, p] =
        mask_exactly_at_probability(x_0, std::vector<int64_t>{2, 1, 3}, kMask, generator);
    if (draw < 200) check_consistent(x_0, masked);
    REQUIRE(masked_counts(x_0, masked) == std::vector<int64_t>{2, 1, 3});
    ++(p[0] < kMedian ? below : above)[number[subset_of(x_0, masked, 0)]];
  }
  for (const std::vector<int64_t>& counts : {below, above}) {
    const std::vector<double> even(pairs, kDraws / 20.0);
    CHECK(test::chi_squared(counts, even) < test::chi_squared_limit(9));
  }
}

TEST_CASE("uniform numbers of a batch lie in (0, 1], each by itself evenly, and antithetic ones are spaced") {
  Generator generator(8);
  for (bool antithetic : {false, true}) {
    std::vector<int64_t> first(10), last(10);
    for (int draw = 0; draw < 10000; ++draw) {
      const std::vector<double> u = draw_uniforms(4, antithetic, generator);
      for (double value : u) REQUIRE((value > 0 && value <= 1));
      ++first[static_cast<size_t>(std::ceil(u[0] * 10)) - 1];
      ++last[static_cast<size_t>(std::ceil(u[3] * 10)) - 1];
      if (!antithetic) continue;
      std::vector<double> sorted = u;
      std::sort(sorted.begin(), sorted.end());
      for (size_t i = 1; i < 4; ++i) REQUIRE(std::abs(sorted[i] - sorted[i - 1] - 0.25) < 1e-12);
    }
    const std::vector<double> even(10, 1000.0);
    CHECK(test::chi_squared(first, even) < test::chi_squared_limit(9));
    CHECK(test::chi_squared(last, even) < test::chi_squared_limit(9));
  }
}

TEST_CASE("batches of texts say what is wrong") {
  CHECK_THROWS_WITH_AS(TextBatch::of(std::vector<std::vector<int32_t>>{}), "TextBatch: no sequences", Error);
  CHECK_THROWS_WITH_AS(TextBatch::of(std::vector<std::vector<int32_t>>{{1}, {}}),
                       "TextBatch: sequence 1 is empty", Error);
  Generator generator(5);
  CHECK_THROWS_WITH_AS(mask_exactly(ragged_batch(), std::vector<int64_t>{2, 2, 2}, kMask, generator),
                       "mask_exactly: 2 of the 1 tokens of sequence 1", Error);
  CHECK_THROWS_WITH_AS(
      mask_exactly_at_probability(ragged_batch(), std::vector<int64_t>{2, 0, 2}, kMask, generator),
      "mask_exactly: 0 of the 1 tokens of sequence 1", Error);
}

}  // namespace haze
