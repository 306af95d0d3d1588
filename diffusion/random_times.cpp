#include "haze/diffusion/random_times.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace haze {

std::vector<double> draw_uniforms(int64_t count, bool antithetic, Generator& generator) {
  std::vector<double> result(static_cast<size_t>(count));
  // Going round the circle makes each of them uniform. Without it the first example of a set would always get
  // an early time, the last a late one, and the bound of a set whose examples differ would be wrong.
  const double start = antithetic ? generator.uniform() : 0;
  for (int64_t i = 0; i < count; ++i) {
    const double position = start + static_cast<double>(i) / static_cast<double>(count);
    // 1 - u: 0 would be a time at which nothing is masked and the weight is infinite.
    result[i] = 1 - (antithetic ? position - std::floor(position) : generator.uniform());
  }
  return result;
}

std::vector<int32_t> draw_steps(int64_t count, int steps, bool antithetic, Generator& generator) {
  std::vector<int32_t> t;
  for (const double u : draw_uniforms(count, antithetic, generator))
    t.push_back(static_cast<int32_t>(std::ceil(u * steps)));
  return t;
}

std::vector<int32_t> draw_steps(int64_t count, std::span<const double> probabilities, bool antithetic,
                                Generator& generator) {
  std::vector<double> cumulative(probabilities.size());
  std::partial_sum(probabilities.begin(), probabilities.end(), cumulative.begin());
  std::vector<int32_t> t;
  for (const double u : draw_uniforms(count, antithetic, generator)) {
    // The first step whose cumulative probability reaches u; rounding may leave the last below 1.
    const auto reached = std::lower_bound(cumulative.begin(), cumulative.end() - 1, u * cumulative.back());
    t.push_back(static_cast<int32_t>(reached - cumulative.begin()) + 1);
  }
  return t;
}

}  // namespace haze
