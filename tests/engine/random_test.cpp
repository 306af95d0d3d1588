#include <cmath>
#include <limits>
#include <numbers>

#include <doctest/doctest.h>

#include "haze/engine/cpu/simd/random_spans.h"
#include "haze/engine/generator.h"
#include "haze/engine/ops.h"

#include "engine/statistics.h"
#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

using Words = std::array<uint32_t, 4>;

double normal_distribution(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

std::vector<int64_t> histogram(const std::vector<double>& values, double low, double high, int bins) {
  std::vector<int64_t> counts(static_cast<size_t>(bins));
  for (double value : values) {
    const int bin = static_cast<int>((value - low) / (high - low) * bins);
    ++counts[static_cast<size_t>(std::clamp(bin, 0, bins - 1))];
  }
  return counts;
}

// What every operation that draws gives at a position, on a device.
std::vector<std::vector<double>> drawn_at(const RandomPosition& position, Device device) {
  Generator numbers(Generator::State{position.seed, position.stream, position.counter});
  numbers.set_base(position.base);
  const Tensor x = ones({3, 37}, Dtype::float64, device), rows = zeros({50, 9}, Dtype::float32, device);
  const Tensor query = ones({1, 20, 2, 4}, Dtype::float32, device);
  const AttentionOptions options = {.dropout = 0.5, .dropout_position = position};
  const AttentionResult attended = attention(query, query, query, options);
  const AttentionGradient gradient = attention_gradient(query, query, query, query, attended, options);
  std::vector<std::vector<double>> result;
  for (const Tensor& y :
       {dropout(x, 0.5, position), categorical(rows, position), attended.output, gradient.value,
        uniform({101}, numbers, 0, 1, Dtype::float32, device),
        normal({101}, numbers, 0, 1, Dtype::float64, device), random_integers({101}, numbers, 0, 100, device),
        bernoulli(full({101}, 0.5, Dtype::float32, device), numbers),
        poisson(full({101}, 5, Dtype::float32, device), numbers)}) {
    result.push_back(y.to_vector<double>());
  }
  return result;
}

}  // namespace

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t f = 0xffffffff;
  CHECK(philox({f, f, f, f}, {f, f}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("below() has no number to draw below 0, and none but 0 below 1") {
  Generator generator(7);
  CHECK_THROWS_WITH_AS(generator.below(0), "Generator::below: the bound is 0", Error);
  CHECK(generator.state().counter == 0);
  for (int i = 0; i < 10; ++i) CHECK(generator.below(1) == 0);
}

TEST_CASE("uniform draws element i from word i (float32) or words 2i and 2i + 1 (float64)") {
  Generator generator(7, 3);
  generator.reserve(5);
  const RandomPosition position{7, 3, 5};
  const Tensor narrow = uniform({13}, generator);
  CHECK(generator.state().counter == 5 + 4);
  const Tensor wide = uniform({13}, generator, 0, 1, Dtype::float64);
  CHECK(generator.state().counter == 9 + 7);
  for (int64_t i = 0; i < 13; ++i) {
    const uint32_t word = position.words(static_cast<uint64_t>(i / 4))[i % 4];
    CHECK(narrow.at({i}) == (word >> 8) / 16777216.0);
    const Words words = position.words(static_cast<uint64_t>(4 + i / 2));
    CHECK(wide.at({i}) == unit_interval(words[i % 2 * 2], words[i % 2 * 2 + 1]));
  }
}

TEST_CASE("uniform fills its interval evenly (chi-squared, 99.9 %) and never reaches its end") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    Generator generator(11);
    const std::vector<double> values = uniform({400000}, generator, -2, 3, dtype).to_vector<double>();
    for (double value : values) REQUIRE((value >= -2 && value < 3));
    const std::vector<double> expected(100, 4000);
    CHECK(chi_squared(histogram(values, -2, 3, 100), expected) < chi_squared_limit(99));
  }
  // A narrow interval, where rounding alone would reach the end often.
  Generator generator(12);
  const float high = std::nextafter(1000.0f, 2000.0f);
  for (float value : uniform({1000}, generator, 1000, high).to_vector<float>()) REQUIRE(value == 1000.0f);
}

TEST_CASE("normal has the normal distribution (chi-squared, 99.9 %), tails included") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    Generator generator(21);
    constexpr int kCount = 500001, kBins = 64;
    const std::vector<double> values = normal({kCount}, generator, 5, 2, dtype).to_vector<double>();
    std::vector<double> expected(kBins);
    for (int bin = 0; bin < kBins; ++bin) {
      const double from = -4 + 8.0 * bin / kBins, to = -4 + 8.0 * (bin + 1) / kBins;
      // The first and the last bin hold the tails.
      const double below = bin == 0 ? 0 : normal_distribution(from);
      const double above = bin == kBins - 1 ? 1 : normal_distribution(to);
      expected[static_cast<size_t>(bin)] = kCount * (above - below);
    }
    CHECK(chi_squared(histogram(values, -3, 13, kBins), expected) < chi_squared_limit(kBins - 1));
  }
}

TEST_CASE("normal: the two numbers of a pair are independent (chi-squared on a grid of quartiles, 99.9 %)") {
  Generator generator(22);
  const std::vector<double> values = normal({400000}, generator).to_vector<double>();
  const auto quartile = [](double x) { return static_cast<size_t>(normal_distribution(x) * 4); };
  std::vector<int64_t> counts(16);
  for (size_t i = 0; i < values.size(); i += 2) ++counts[quartile(values[i]) * 4 + quartile(values[i + 1])];
  CHECK(chi_squared(counts, std::vector<double>(16, 200000 / 16.0)) < chi_squared_limit(15));
}

TEST_CASE("normal: float32 reaches as far as 32 bits allow and stays finite") {
  Generator generator(23);
  constexpr int64_t kCount = 1 << 21;
  double farthest = 0;
  for (float value : normal({kCount}, generator).to_vector<float>()) {
    REQUIRE(std::isfinite(value));
    farthest = std::max(farthest, std::abs(static_cast<double>(value)));
  }
  // The largest of 2^21 magnitudes lies in 4.6..6.5 with a probability of 99.98 %.
  CHECK(farthest > 4.6);
  CHECK(farthest < 6.5);
}

TEST_CASE("normal with a standard deviation of 0 is its mean") {
  Generator generator(24);
  for (double value : normal({9}, generator, 1.5, 0, Dtype::float64).to_vector<double>()) CHECK(value == 1.5);
}

TEST_CASE("dropout drops element i by word i % 4 of counter i / 4, for dense and strided x") {
  Generator generator(31);
  const RandomPosition position{5, 6, 1000};
  const Tensor x = uniform({37, 21}, generator, 1, 2);
  for (const Tensor& view : {x, transpose(x), slice(x, 1, 1, 20, 3), expand(slice(x, 0, 0, 1), {8, 21})}) {
    const Tensor y = dropout(view, 0.3, position);
    REQUIRE(y.shape() == view.shape());
    const std::vector<float> from = view.to_vector<float>(), to = y.to_vector<float>();
    for (size_t i = 0; i < from.size(); ++i) {
      const bool kept = position.words(i / 4)[i % 4] >= static_cast<uint64_t>(0.3 * 4294967296.0);
      REQUIRE(to[i] == (kept ? from[i] * static_cast<float>(1 / 0.7) : 0.0f));
    }
  }
}

TEST_CASE("dropout keeps a share of 1 - p (99.9 %) and the mean; with p = 0 it is the identity") {
  const RandomPosition position{41, 0, 0};
  const Tensor x = ones({1000, 1000}, Dtype::float64);
  int64_t kept = 0;
  for (double value : dropout(x, 0.1, position).to_vector<double>()) {
    REQUIRE((value == 0 || value == doctest::Approx(1 / 0.9)));
    kept += value != 0;
  }
  CHECK(std::abs(static_cast<double>(kept) - 900000) < 3.29 * std::sqrt(1e6 * 0.1 * 0.9));
  CHECK(same_bits(dropout(x, 0, position), x));
}

TEST_CASE("dropout of a NaN or an infinity that is dropped is 0") {
  const RandomPosition position{42, 0, 0};
  const Tensor x = full({1000}, std::numeric_limits<double>::infinity());
  int64_t zeros_seen = 0;
  for (float value : dropout(x, 0.5, position).to_vector<float>()) zeros_seen += value == 0;
  CHECK(zeros_seen > 400);
}

TEST_CASE("random operations give the same bits on any number of threads") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    CHECK(same_bits_on_threads([&] {
      Generator generator(51);
      return uniform({3, 33331}, generator, -1, 1, dtype);
    }));
    CHECK(same_bits_on_threads([&] {
      Generator generator(52);
      return normal({100003}, generator, 0, 1, dtype);
    }));
    CHECK(same_bits_on_threads([&] { return dropout(transpose(ones({333, 301}, dtype)), 0.4, {53, 0, 0}); }));
  }
}

TEST_CASE("random operations take empty shapes and use no counters for them") {
  Generator generator(61);
  CHECK(uniform({0, 3}, generator).elements() == 0);
  CHECK(normal({0}, generator).elements() == 0);
  CHECK(dropout(zeros({4, 0}), 0.5, {}).shape() == Shape{4, 0});
  CHECK(generator.state().counter == 0);
  CHECK(uniform({}, generator).rank() == 0);
}

TEST_CASE("random operations say what is wrong") {
  Generator generator(71);
  CHECK_THROWS_WITH_AS(uniform({2}, generator, 0, 1, Dtype::int32),
                       "uniform: dtype is int32, it takes float32 or float64", Error);
  CHECK_THROWS_WITH_AS(uniform({2}, generator, 1, 1), "uniform: from 1 to 1 is no interval of float32",
                       Error);
  CHECK_THROWS_WITH_AS(uniform({2}, generator, 0, 1e39), "uniform: from 0 to 1e+39 is no interval of float32",
                       Error);
  CHECK_THROWS_WITH_AS(uniform({2}, generator, 0, NAN), "uniform: from 0 to nan is no interval of float32",
                       Error);
  CHECK_THROWS_WITH_AS(uniform({-2}, generator), "tensor: shape [-2] has a negative extent", Error);
  CHECK_THROWS_WITH_AS(normal({2}, generator, 0, 1, Dtype::bfloat16),
                       "normal: dtype is bfloat16, it takes float32 or float64", Error);
  CHECK_THROWS_WITH_AS(normal({2}, generator, INFINITY), "normal: the mean is inf, it takes a finite number",
                       Error);
  CHECK_THROWS_WITH_AS(normal({2}, generator, 0, -1),
                       "normal: the standard deviation is -1, it takes a finite number of 0 or more", Error);
  CHECK_THROWS_WITH_AS(dropout(zeros({2}), 1, {}),
                       "dropout: the probability is 1, it takes 0 <= probability < 1", Error);
  CHECK_THROWS_WITH_AS(dropout(zeros({2}), -0.1, {}),
                       "dropout: the probability is -0.1, it takes 0 <= probability < 1", Error);
  CHECK_THROWS_WITH_AS(dropout(zeros({2}, Dtype::int32), 0.1, {}),
                       "dropout: x is int32, it takes bfloat16, float32 or float64", Error);
  CHECK_THROWS_WITH_AS(dropout(Tensor(), 0.1, {}), "dropout: x is an undefined tensor", Error);
  CHECK(generator.state().counter == 0);
}

TEST_CASE("numbers drawn relative to a counter on the device are those at the sum, and move on with it") {
  const uint64_t start = (uint64_t{1} << 32) - 3;
  const auto at_first = drawn_at({7, 3, start + 5}, Device::cpu);
  const auto at_second = drawn_at({7, 3, start + 5 + 1000}, Device::cpu);
  for (size_t i = 0; i < at_first.size(); ++i) CHECK(at_first[i] != at_second[i]);
  for (Device device : {Device::cpu, Device::guarded}) {
    const Tensor counter = random_counter(start, device);
    const RandomPosition position{7, 3, 5, random_base(counter)};
    CHECK(drawn_at(position, device) == at_first);
    advance_counter(counter, 1000);
    CHECK(drawn_at(position, device) == at_second);
    CHECK(counter.to_vector<int32_t>() == std::vector<int32_t>{997, 1});
  }
}

TEST_CASE("a counter on another device than the operands is refused, and so are draws of the host from it") {
  const Tensor counter = random_counter(0, Device::guarded);
  Generator generator(81);
  generator.set_base(random_base(counter));
  CHECK_THROWS_WITH_AS(
      uniform({2}, generator),
      "uniform: the result is on cpu and the random counter on guarded; bring them to one device with to()",
      Error);
  CHECK_THROWS_WITH_AS(generator.uniform(), "Generator: its base lies on guarded, where the host cannot draw",
                       Error);
  CHECK_THROWS_WITH_AS(generator.below(3), "Generator: its base lies on guarded, where the host cannot draw",
                       Error);
}

TEST_CASE("a stretch of random words is Philox's, wherever it begins and where the counter carries") {
  for (const uint64_t counter : {uint64_t{0}, (uint64_t{1} << 32) - 5, (uint64_t{3} << 32) - 1}) {
    const RandomPosition position{0x123456789ABCDEFull, (uint64_t{7} << 32) + 9, counter};
    for (int64_t first = 0; first < 8; ++first) {
      for (const int64_t count : {0, 1, 2, 3, 4, 5, 7, 8, 64, 131, 257}) {
        std::vector<uint32_t> words(static_cast<size_t>(count));
        random_words(position, first, count, words.data());
        bool same = true;
        for (int64_t i = 0; i < count; ++i) {
          const int64_t w = first + i;
          same = same && words[i] == position.words(static_cast<uint64_t>(w / 4))[static_cast<size_t>(w % 4)];
        }
        CHECK(same);
      }
    }
  }
}
