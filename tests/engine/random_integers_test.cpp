#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

#include "engine/statistics.h"
#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

double poisson_probability(double rate, double k) {
  return std::exp(k * std::log(rate) - rate - std::lgamma(k + 1));
}

/// Pearson's statistic of draws of one rate, over its limit at 99.9 %, in cells that expect 20 draws or more;
/// the first and the last hold the tails.
double poisson_misfit(double rate, int64_t draws, uint64_t seed) {
  Generator generator(seed);
  const auto values = poisson(full({draws}, rate), generator).to_vector<int32_t>();
  const double deviation = std::sqrt(rate);
  const auto first = static_cast<int64_t>(std::max(0.0, std::floor(rate - 8 * deviation - 8)));
  const auto last = static_cast<int64_t>(rate + 8 * deviation + 16);
  std::vector<int64_t> found(static_cast<size_t>(last - first + 1));
  for (int32_t value : values) ++found[static_cast<size_t>(std::clamp<int64_t>(value, first, last) - first)];
  std::vector<int64_t> counts;
  std::vector<double> expected;
  int64_t count = 0;
  double share = 0;
  for (int64_t k = first; k <= last; ++k) {
    count += found[static_cast<size_t>(k - first)];
    share += static_cast<double>(draws) * poisson_probability(rate, static_cast<double>(k));
    if (share < 20) continue;
    counts.push_back(std::exchange(count, 0));
    expected.push_back(std::exchange(share, 0));
  }
  counts.back() += count;
  expected.back() += share;
  return chi_squared(counts, expected) / chi_squared_limit(counts.size() - 1);
}

}  // namespace

TEST_CASE("random_integers fills its interval evenly (chi-squared, 99.9 %), ends included") {
  Generator generator(31);
  constexpr int kCount = 300'000;
  for (const auto& [low, high] :
       {std::pair<int64_t, int64_t>{-3, 4}, {0, 100}, {1'000'000'000, 1'000'000'010}}) {
    std::vector<int64_t> counts(static_cast<size_t>(high - low));
    for (int32_t value : random_integers({kCount}, generator, low, high).to_vector<int32_t>()) {
      REQUIRE((value >= low && value < high));
      ++counts[static_cast<size_t>(value - low)];
    }
    CHECK(chi_squared(counts, std::vector<double>(counts.size(),
                                                  double{kCount} / static_cast<double>(counts.size()))) <
          chi_squared_limit(counts.size() - 1));
  }
}

TEST_CASE(
    "random_integers has no modulo bias (chi-squared, 99.9 %), where a third of the numbers would be twice "
    "as frequent") {
  // 2^32 = range + range / 3: the first third of the range would come twice as often as the rest.
  Generator generator(32);
  constexpr int64_t kRange = int64_t{3} << 30, kLow = std::numeric_limits<int32_t>::min();
  constexpr int kCount = 300'000;
  std::vector<int64_t> counts(3);
  for (int32_t value : random_integers({kCount}, generator, kLow, kLow + kRange).to_vector<int32_t>()) {
    ++counts[static_cast<size_t>((value - kLow) / (kRange / 3))];
  }
  CHECK(chi_squared(counts, std::vector<double>(3, kCount / 3.0)) < chi_squared_limit(2));
}

TEST_CASE("bernoulli is 1 as often as asked (99.9 %), at small probabilities too, and surely at 0 and 1") {
  Generator generator(41);
  constexpr int64_t kCount = 1'000'000;
  for (const double p : {1e-4, 0.01, 0.3, 0.5, 0.9}) {
    const Tensor drawn = bernoulli(full({kCount}, p), generator);
    const double ones = sum(cast(drawn, Dtype::float64)).item();
    CHECK(std::abs(ones - kCount * p) < 3.29 * std::sqrt(kCount * p * (1 - p)));
  }
  CHECK(sum(cast(bernoulli(zeros({10'000}), generator), Dtype::float32)).item() == 0);
  CHECK(sum(cast(bernoulli(ones({10'000}), generator), Dtype::float32)).item() == 10'000);
}

TEST_CASE("poisson has the Poisson distribution (chi-squared, 99.9 %) by inversion and by rejection") {
  uint64_t seed = 51;
  for (const double rate : {0.03, 1.0, 4.5, 9.9, 10.0, 12.5, 100.0, 3000.0}) {
    INFO("rate ", rate);
    CHECK(poisson_misfit(rate, 200'000, seed++) < 1);
  }
}

TEST_CASE("poisson of a large rate has its mean and variance (99.9 %), and of 0 it is 0") {
  Generator generator(61);
  constexpr int64_t kCount = 100'000;
  constexpr double kRate = 1e9;
  const Tensor drawn = cast(poisson(full({kCount}, kRate), generator), Dtype::float64);
  CHECK(std::abs(reduce(ReduceOp::mean, drawn).item() - kRate) < 3.29 * std::sqrt(kRate / kCount));
  // The variance of n draws of about normal numbers is off by sqrt(2 / n).
  CHECK(std::abs(reduce(ReduceOp::variance, drawn).item() / kRate - 1) < 3.29 * std::sqrt(2.0 / kCount));
  CHECK(sum(cast(poisson(zeros({1000}), generator), Dtype::float32)).item() == 0);
}

TEST_CASE(
    "draws of integers are the same bits on any number of threads, and take as many counters as they say") {
  constexpr int64_t kCount = 50'001;
  CHECK(same_bits_on_threads([] {
    Generator generator(1);
    return random_integers({kCount}, generator, -5, 1000);
  }));
  CHECK(same_bits_on_threads([] {
    Generator generator(1);
    return bernoulli(full({kCount}, 0.3), generator);
  }));
  CHECK(same_bits_on_threads([] {
    Generator generator(1);
    return poisson(full({kCount}, 20), generator);
  }));
  Generator generator(1);
  random_integers({5}, generator, 0, 2);
  CHECK(generator.state().counter == 5);
  bernoulli(zeros({5}), generator);
  CHECK(generator.state().counter == 8);
  poisson(zeros({5}), generator);
  CHECK(generator.state().counter == 8 + 5 * 64);
}
