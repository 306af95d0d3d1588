#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "haze/engine/generator.h"

/// Integers out of random words. The kernels of every device call these, so that their draws are the same.
/// Source files that include this are compiled without contraction, as those of box_muller.h.
namespace haze {

HAZE_HOST_DEVICE constexpr uint64_t wide_word(uint32_t high, uint32_t low) {
  return uint64_t{high} << 32 | low;
}

/// The upper 64 bits of the product, for a range up to 2^32.
HAZE_HOST_DEVICE constexpr uint64_t upper_product(uint64_t word, uint64_t range) {
  return ((word >> 32) * range + ((word & 0xFFFFFFFF) * range >> 32)) >> 32;
}

/// Uniform in [0, range) out of four words, each number as often as the others but for 2^-64: the upper half
/// of word x range, unless its lower half is among those that would make some numbers more frequent (Lemire
/// 2019, "Fast random integer generation in an interval"). `surplus` is 2^64 mod range; range is at most
/// 2^32.
HAZE_HOST_DEVICE constexpr uint64_t integer_below(uint64_t range, uint64_t surplus,
                                                  const std::array<uint32_t, 4>& words) {
  uint64_t word = wide_word(words[0], words[1]);
  if (word * range < surplus) word = wide_word(words[2], words[3]);
  return upper_product(word, range);
}

/// log(k!) of a whole k >= 0.
HAZE_HOST_DEVICE inline double log_factorial(double k) {
  constexpr std::array<double, 10> kSmall = {0,
                                             0,
                                             0.69314718055994531,
                                             1.7917594692280550,
                                             3.1780538303479458,
                                             4.7874917427820458,
                                             6.5792512120101012,
                                             8.5251613610654147,
                                             10.604602902745251,
                                             12.801827480081469};
  if (k < 10) return kSmall[static_cast<size_t>(k)];
  // Stirling's series; the next term is below 10^-10.
  const double inverse = 1 / k, square = inverse * inverse;
  return (k + 0.5) * std::log(k) - k + 0.91893853320467274 +
         inverse * (1.0 / 12 - square * (1.0 / 360 - square * (1.0 / 1260 - square / 1680)));
}

/// By inverting the distribution function: exact but for the 53 bits of `unit`, in [0, 1).
HAZE_HOST_DEVICE inline int32_t small_poisson(double rate, double unit) {
  constexpr double kNothing = 0x1p-60;  // too little to be seen in the sum
  double term = std::exp(-rate), sum = term;
  int32_t k = 0;
  while (unit >= sum && (k < rate || term > kNothing)) {
    term *= rate / ++k;
    sum += term;
  }
  return k;
}

/// By rejection from a transformed uniform number (Hormann 1993, "The transformed rejection method for
/// generating Poisson random variables", algorithm PTRS), for rates of 10 and more. words(t) gives the four
/// words of trial t; the last of `trials` is followed by the rate itself.
template <typename Words>
HAZE_HOST_DEVICE int32_t large_poisson(double rate, uint64_t trials, const Words& words) {
  const double b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (uint64_t trial = 0; trial < trials; ++trial) {
    const std::array<uint32_t, 4> four = words(trial);
    const double u = 0.5 - (1 - unit_interval(four[0], four[1])), us = 0.5 - std::abs(u);
    const double v = 1 - unit_interval(four[2], four[3]);
    const double k = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return static_cast<int32_t>(k);
    if (!(k >= 0) || (us < 0.013 && v > us)) continue;
    const double accepted = std::log(v * inverse_alpha / (a / (us * us) + b));
    if (accepted <= k * std::log(rate) - rate - log_factorial(k)) return static_cast<int32_t>(k);
  }
  return static_cast<int32_t>(rate);
}

/// A draw from Poisson's distribution; arguments as for large_poisson().
template <typename Words>
HAZE_HOST_DEVICE int32_t draw_poisson(double rate, uint64_t trials, const Words& words) {
  constexpr double kLargeRate = 10;
  if (rate >= kLargeRate) return large_poisson(rate, trials, words);
  const std::array<uint32_t, 4> four = words(0);
  return small_poisson(rate, unit_interval(four[0], four[1]));
}

}  // namespace haze
