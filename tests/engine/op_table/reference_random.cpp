#include "engine/op_table/reference.h"

// Draws of integers.
namespace haze::reference {
namespace {

__extension__ using Wide = unsigned __int128;

uint64_t wide_word(RandomPosition position, uint64_t index) {
  return static_cast<uint64_t>(random_word(position, index)) << 32 | random_word(position, index + 1);
}

// In [0, 1), from two words.
double unit_number(RandomPosition position, uint64_t index) {
  return static_cast<double>(wide_word(position, index) >> 11) / 9007199254740992.0;
}

// The k at which the sum of the probabilities passes `unit`.
double inverted(double rate, double unit) {
  Sum sum = 0;
  for (int k = 0; k < 100; ++k) {
    sum += std::exp(-static_cast<Sum>(rate) + k * std::log(static_cast<Sum>(rate)) - std::lgamma(Sum(k + 1)));
    if (unit < sum) return k;
  }
  return 0;
}

// Algorithm PTRS as Hormann (1993) writes it, steps 0 to 3.2. Trial t of element i reads counter t n + i.
double transformed_rejection(double mu, RandomPosition position, uint64_t i, uint64_t n) {
  const double b = 0.931 + 2.53 * std::sqrt(mu), a = -0.059 + 0.02483 * b;
  const double v_r = 0.9277 - 3.6224 / (b - 2);
  for (uint64_t t = 0;; ++t) {
    const double v = 1 - unit_number(position, 4 * (t * n + i) + 2);
    const double u = 0.5 - (1 - unit_number(position, 4 * (t * n + i)));
    const double us = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / us + b) * u + mu + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    if (std::log(v * inverse_alpha / (a / (us * us) + b)) <= -mu + k * std::log(mu) - std::lgamma(k + 1)) {
      return k;
    }
  }
}

}  // namespace

Array random_integers(const Shape& shape, RandomPosition position, int64_t low, int64_t high) {
  const auto range = static_cast<Wide>(high - low);
  const Wide all = static_cast<Wide>(1) << 64;
  Array result(shape);
  for (size_t i = 0; i < result.values.size(); ++i) {
    // Words whose product with the range has a fraction below 2^64 mod range are drawn again.
    Wide product = wide_word(position, 4 * i) * range;
    if (product % all < all % range) product = wide_word(position, 4 * i + 2) * range;
    result.values[i] = static_cast<double>(low + static_cast<int64_t>(product / all));
  }
  return result;
}

Array bernoulli(const Array& probability, RandomPosition position) {
  Array result(probability.shape);
  for (size_t i = 0; i < result.values.size(); ++i) {
    result.values[i] = unit_number(position, 2 * i) < probability.values[i] ? 1 : 0;
  }
  return result;
}

Array poisson(const Array& rate, RandomPosition position) {
  Array result(rate.shape);
  const uint64_t n = result.values.size();
  for (uint64_t i = 0; i < n; ++i) {
    const double mu = rate.values[i];
    result.values[i] = mu == 0   ? 0
                       : mu < 10 ? inverted(mu, unit_number(position, 4 * i))
                                 : transformed_rejection(mu, position, i, n);
  }
  return result;
}

}  // namespace haze::reference
