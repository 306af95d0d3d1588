#include "haze/diffusion/gaussian/noise_level.h"

#include <cmath>

#include "haze/engine/error.h"

namespace haze {

NoiseLevel noise_level(const NoiseSchedule& schedule, int t) {
  if (t < 0 || t > schedule.steps()) fail("noise_level: t {} is not in 0..{}", t, schedule.steps());
  const auto i = static_cast<size_t>(t);
  return {.alpha = std::sqrt(schedule.alpha_bar[i]),
          .sigma = std::sqrt(schedule.noise[i]),
          .time = static_cast<double>(t) / schedule.steps()};
}

std::vector<int> strided_steps(int steps, int count) {
  if (count < 1 || count > steps) fail("strided_steps: {} steps of {}", count, steps);
  std::vector<int> result{steps};
  for (int i = 1; i < count; ++i)
    result.push_back(
        static_cast<int>(std::lround(steps - static_cast<double>(i) * (steps - 1) / (count - 1))));
  return result;
}

std::vector<NoiseLevel> strided_levels(const NoiseSchedule& schedule, int count) {
  std::vector<NoiseLevel> levels;
  for (int t : strided_steps(schedule.steps(), count)) levels.push_back(noise_level(schedule, t));
  levels.push_back(noise_level(schedule, 0));
  return levels;
}

LevelStep step_between(const NoiseLevel& from, const NoiseLevel& to) {
  if (!(to.sigma / to.alpha < from.sigma / from.alpha)) {
    fail("step_between: from alpha {}, sigma {} to alpha {}, sigma {} there is no noise to take away",
         from.alpha, from.sigma, to.alpha, to.sigma);
  }
  const double ratio = from.alpha / to.alpha, noise = from.sigma * from.sigma;
  const double left = to.sigma * to.sigma;
  const double added = noise - ratio * ratio * left;
  return {.alpha_ratio = ratio,
          .added_variance = added,
          .x_0_coefficient = to.alpha * added / noise,
          .x_t_coefficient = ratio * left / noise,
          .posterior_variance = added * left / noise};
}

}  // namespace haze
