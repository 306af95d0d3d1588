#include "haze/engine/box_muller.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/cpu/simd/random_spans.h"
#include "haze/engine/ops.h"

#include "engine/targets.h"

using namespace haze;
using namespace haze::test;

namespace {

// What the functions are compared with: float64 for float32, 64 bits of significand for float64.
template <typename T>
using Wide = std::conditional_t<sizeof(T) == 4, double, long double>;

// |got - exact| in units of the last place that a T of the size of `exact` has.
template <typename T>
double error_in_units(T got, Wide<T> exact) {
  const T rounded = std::abs(static_cast<T>(exact));
  const T unit = std::nextafter(rounded, std::numeric_limits<T>::infinity()) - rounded;
  return static_cast<double>(std::abs(static_cast<Wide<T>>(got) - exact) / static_cast<Wide<T>>(unit));
}

// Random bits, and those around every eighth of their range, where the polynomials meet.
template <typename T>
std::vector<RandomBits<T>> tried_bits() {
  using Bits = RandomBits<T>;
  constexpr Bits kEighth = Bits{1} << (8 * sizeof(T) - 3);
  std::vector<Bits> result;
  for (Bits i = 0; i < 8; ++i) {
    for (Bits near : {0, 1, 255, 256, 2047, 2048, 4095, 4096, 70000}) {
      result.insert(result.end(), {i * kEighth + near, i * kEighth - near});
    }
  }
  std::mt19937_64 random(5);
  while (result.size() < 300000) result.push_back(static_cast<Bits>(random()));
  // As many near either end as there are binades.
  for (int i = 0; i < 20000; ++i) {
    const Bits small = static_cast<Bits>(random()) >> (i % (8 * static_cast<int>(sizeof(T))));
    result.insert(result.end(), {small, ~small});
  }
  return result;
}

// v of its bits, exactly.
template <typename T>
Wide<T> fraction(RandomBits<T> bits) {
  return std::ldexp(static_cast<Wide<T>>(bits & BoxMullerConstants<T>::kUsedBits),
                    -8 * static_cast<int>(sizeof(T)));
}

// sin(2 pi v), reduced to an eighth of a turn before pi is rounded.
template <typename T>
Wide<T> sine_of_turns(Wide<T> v) {
  const Wide<T> turns = v - std::round(v), two_pi = 2 * std::numbers::pi_v<Wide<T>>;
  const Wide<T> size = std::abs(turns), sign = turns < 0 ? -1 : 1;
  if (size <= 0.125) return sign * std::sin(two_pi * size);
  if (size < 0.375) return sign * std::cos(two_pi * (size - Wide<T>{0.25}));
  return sign * std::sin(two_pi * (Wide<T>{0.5} - size));
}

template <typename T>
void check_accuracy(double log_units, double angle_units, double whole_units) {
  double worst_log = 0, worst_angle = 0, worst_whole = 0;
  const std::vector<RandomBits<T>> bits = tried_bits<T>();
  for (size_t i = 0; i < bits.size(); ++i) {
    const T u = box_muller_unit(bits[i]);
    const Wide<T> minus_log = u == 1 ? 0 : -std::log(static_cast<Wide<T>>(u));
    worst_log = std::max(worst_log, error_in_units(box_muller_minus_log(u), minus_log));
    const RandomBits<T> angle_bits = bits[(7 * i + 3) % bits.size()];
    const NormalPair<T> angle = box_muller_cos_sin<T>(angle_bits);
    const Wide<T> v = fraction<T>(angle_bits);
    const Wide<T> cosine = sine_of_turns<T>(v + Wide<T>{0.25}), sine = sine_of_turns<T>(v);
    worst_angle =
        std::max({worst_angle, error_in_units(angle.first, cosine), error_in_units(angle.second, sine)});
    const NormalPair<T> pair = box_muller<T>(bits[i], angle_bits, 0, 1);
    const Wide<T> radius = std::sqrt(2 * minus_log);
    worst_whole = std::max({worst_whole, error_in_units(pair.first, radius * cosine),
                            error_in_units(pair.second, radius * sine)});
  }
  MESSAGE("worst errors in units of the last place: logarithm ", worst_log, ", cosine and sine ", worst_angle,
          ", normal number ", worst_whole);
  CHECK(worst_log <= log_units);
  CHECK(worst_angle <= angle_units);
  CHECK(worst_whole <= whole_units);
}

template <typename T>
std::vector<uint32_t> words_of(const std::vector<RandomBits<T>>& bits) {
  std::vector<uint32_t> words;
  for (const RandomBits<T> b : bits) {
    if constexpr (sizeof(T) == 8) words.push_back(static_cast<uint32_t>(b >> 32));
    words.push_back(static_cast<uint32_t>(b));
  }
  return words;
}

template <typename T>
void check_same_bits() {
  std::vector<RandomBits<T>> bits = tried_bits<T>();
  std::rotate(bits.begin(), bits.begin() + 1, bits.begin() + 100);  // other pairs
  const std::vector<uint32_t> words = words_of<T>(bits);
  const T mean = T{0.3}, deviation = T{1.7};
  std::vector<T> expected;
  for (size_t i = 0; i + 1 < bits.size(); i += 2) {
    const NormalPair<T> pair = box_muller(bits[i], bits[i + 1], mean, deviation);
    expected.insert(expected.end(), {pair.first, pair.second});
  }
  std::vector<int64_t> targets = kVectorTargets;
  targets.push_back(kBaselineTarget);
  for_each_target(targets, [&](int64_t target) {
    CAPTURE(std::string(hwy::TargetName(target)));
    std::vector<T> got(expected.size());
    normal_span<T>()(words.data(), static_cast<int64_t>(got.size()), mean, deviation, got.data());
    CHECK(got == expected);
    for (int64_t count = 0; count < 40; ++count) {
      got.assign(40, -1);
      normal_span<T>()(words.data(), count, mean, deviation, got.data());
      CHECK(std::equal(got.begin(), got.begin() + count, expected.begin()));
      CHECK(std::all_of(got.begin() + count, got.end(), [](T x) { return x == -1; }));
    }
  });
}

}  // namespace

TEST_CASE(
    "Box-Muller: logarithm, cosine, sine and normal number are within 1, 2 and 4 units in the last place") {
  check_accuracy<float>(1, 2, 4);
  check_accuracy<double>(1, 2, 4);
}

TEST_CASE("Box-Muller: vectors of every instruction set give the bits of the steps one by one") {
  check_same_bits<float>();
  check_same_bits<double>();
}

TEST_CASE("Box-Muller: the ends of the uniform numbers give the ends of the normal ones") {
  // u = 2^-33 and 2^-53 are the smallest there are.
  CHECK(box_muller<float>(0, 0, 0, 1).first == static_cast<float>(std::sqrt(66 * std::numbers::ln2)));
  CHECK(box_muller<double>(~uint64_t{0}, 0, 0, 1).first == std::sqrt(106 * std::numbers::ln2));
  CHECK(box_muller<float>(0, 0, 0, 1).second == 0);
  // u = 1: every angle gives the mean.
  CHECK(box_muller<float>(~uint32_t{0}, 123456, 3, 2).second == 3);
  CHECK(box_muller<double>(0, 123456, 3, 2).first == 3);
  // Quarter turns are exact.
  const NormalPair<double> quarter = box_muller_cos_sin<double>(uint64_t{1} << 62);
  CHECK(quarter.first == 0);
  CHECK(quarter.second == 1);
  const NormalPair<float> half = box_muller_cos_sin<float>(uint32_t{1} << 31);
  CHECK(half.first == -1);
  CHECK(half.second == 0);
}

TEST_CASE("Box-Muller: a uniform number of 32 bits is rounded once") {
  for (const uint32_t bits : tried_bits<float>()) {
    REQUIRE(box_muller_unit(bits) == static_cast<float>((bits + 0.5) * 0x1p-32));
  }
}
