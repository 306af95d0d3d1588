#include "haze/engine/ops/random_integers.h"

#include <array>
#include <cmath>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/simd/random_spans.h"
#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr int64_t kCost = 8;  // of a draw, against one of element-by-element work

// Calls draw(i) for each element of x, in parallel.
template <typename F>
void for_each_draw(const Tensor& x, F&& draw) {
  parallel_for(x.elements(), kElementGrain / kCost, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) draw(i);
  });
}

uint64_t wide_word(uint32_t high, uint32_t low) {
  return uint64_t{high} << 32 | low;
}

// The upper 64 bits of the product, for a range up to 2^32.
uint64_t upper_product(uint64_t word, uint64_t range) {
  return ((word >> 32) * range + ((word & 0xFFFFFFFF) * range >> 32)) >> 32;
}

// Uniform in [0, range) out of four words, each number as often as the others but for 2^-64: the upper half
// of word x range, unless its lower half is among those that would make some numbers more frequent (Lemire
// 2019, "Fast random integer generation in an interval"). `surplus` is 2^64 mod range.
uint64_t below(uint64_t range, uint64_t surplus, const std::array<uint32_t, 4>& words) {
  uint64_t word = wide_word(words[0], words[1]);
  if (word * range < surplus) word = wide_word(words[2], words[3]);
  return upper_product(word, range);
}

double log_factorial(double k) {
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

// By inverting the distribution function: exact but for the 53 bits of `unit`.
int32_t small_poisson(double rate, double unit) {
  constexpr double kNothing = 0x1p-60;  // too little to be seen in the sum
  double term = std::exp(-rate), sum = term;
  int32_t k = 0;
  while (unit >= sum && (k < rate || term > kNothing)) {
    term *= rate / ++k;
    sum += term;
  }
  return k;
}

// By rejection from a transformed uniform number (Hormann 1993, "The transformed rejection method for
// generating Poisson random variables", algorithm PTRS), for rates of 10 and more. `pair(t)` gives the two
// uniform numbers of trial t, in (0, 1].
template <typename Pair>
int32_t large_poisson(double rate, Pair&& pair) {
  const double b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4), v_r = 0.9277 - 3.6224 / (b - 2);
  for (uint64_t trial = 0; trial < call::Poisson::kTrials; ++trial) {
    const auto [first, v] = pair(trial);
    const double u = 0.5 - first, us = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return static_cast<int32_t>(k);
    if (!(k >= 0) || (us < 0.013 && v > us)) continue;
    const double accepted = std::log(v * inverse_alpha / (a / (us * us) + b));
    if (accepted <= k * std::log(rate) - rate - log_factorial(k)) return static_cast<int32_t>(k);
  }
  return static_cast<int32_t>(rate);
}

}  // namespace

void call::RandomIntegers::run(Cpu) const {
  const auto range = static_cast<uint64_t>(high - low), surplus = (0 - range) % range;
  int32_t* result = out.data<int32_t>();
  for_each_draw(out, [&](int64_t i) {
    const auto words = position.words(static_cast<uint64_t>(i));
    result[i] = static_cast<int32_t>(low + static_cast<int64_t>(below(range, surplus, words)));
  });
}

void call::Bernoulli::run(Cpu) const {
  if (probability.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  uint8_t* result = out.data<uint8_t>();
  dispatch_real(probability.dtype(), [&](auto tag) {
    const auto* p = probability.data<decltype(tag)>();
    for_each_draw(out, [&](int64_t i) {
      if (!(p[i] >= 0 && p[i] <= 1)) fail("bernoulli: the probability {} is not in [0, 1]", p[i]);
      const auto words = position.words(static_cast<uint64_t>(i / 2));
      const size_t at = i % 2 == 0 ? 0 : 2;
      result[i] = unit_interval(words[at], words[at + 1]) < static_cast<double>(p[i]);
    });
  });
}

void call::Poisson::run(Cpu) const {
  if (rate.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  constexpr double kLargeRate = 10;
  int32_t* result = out.data<int32_t>();
  const auto elements = static_cast<uint64_t>(out.elements());
  dispatch_real(rate.dtype(), [&](auto tag) {
    const auto* rates = rate.data<decltype(tag)>();
    for_each_draw(out, [&](int64_t i) {
      const auto mean = static_cast<double>(rates[i]);
      if (!(mean >= 0 && mean <= kLargestRate)) {
        fail("poisson: the rate {} is not in [0, {}]", rates[i], kLargestRate);
      }
      const auto pair = [&](uint64_t trial) {
        const auto words = position.words(trial * elements + static_cast<uint64_t>(i));
        return std::pair(1 - unit_interval(words[0], words[1]), 1 - unit_interval(words[2], words[3]));
      };
      result[i] = mean < kLargeRate ? small_poisson(mean, 1 - pair(0).first) : large_poisson(mean, pair);
    });
  });
}

}  // namespace haze
