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

std::vector<NoiseLevel> log_snr_levels(const NoiseSchedule& schedule, int count) {
  if (count < 1) fail("log_snr_levels: {} levels", count);
  const auto lambda_of = [&](int t) {
    const auto i = static_cast<size_t>(t);
    return 0.5 * std::log(schedule.alpha_bar[i] / schedule.noise[i]);
  };
  const double first = lambda_of(schedule.steps()), last = lambda_of(1);
  std::vector<NoiseLevel> levels{noise_level(schedule, schedule.steps())};
  int t = schedule.steps();
  for (int i = 1; i + 1 < count; ++i) {
    const double lambda = first + i * (last - first) / (count - 1);
    while (t > 2 && lambda_of(t - 1) <= lambda) --t;  // lambda is between the steps t and t - 1
    const double share = (lambda - lambda_of(t)) / (lambda_of(t - 1) - lambda_of(t));
    levels.push_back({.alpha = 1 / std::sqrt(1 + std::exp(-2 * lambda)),
                      .sigma = 1 / std::sqrt(1 + std::exp(2 * lambda)),
                      .time = (t - share) / schedule.steps()});
  }
  if (count > 1) levels.push_back(noise_level(schedule, 1));
  levels.push_back(noise_level(schedule, 0));
  return levels;
}

void check_levels(std::span<const NoiseLevel> levels) {
  if (levels.size() < 2)
    fail("check_levels: a sampler needs 2 levels of noise at least, not {}", levels.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    if (!(levels[i].alpha > 0))
      fail("check_levels: alpha {} of level {} is not positive", levels[i].alpha, i);
    if (i > 0) step_between(levels[i - 1], levels[i]);
  }
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
