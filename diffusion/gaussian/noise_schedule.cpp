#include "haze/diffusion/gaussian/noise_schedule.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/error.h"

namespace haze {

NoiseSchedule noise_schedule(const std::vector<double>& beta) {
  if (beta.empty()) fail("noise_schedule: there are no steps");
  NoiseSchedule schedule{.beta = {0}, .alpha = {1}, .alpha_bar = {1}, .noise = {0}};
  double log_alpha_bar = 0;
  for (double variance : beta) {
    if (!(variance > 0 && variance < 1)) fail("noise_schedule: beta {} is not in (0, 1)", variance);
    log_alpha_bar += std::log1p(-variance);
    schedule.beta.push_back(variance);
    schedule.alpha.push_back(1 - variance);
    schedule.alpha_bar.push_back(std::exp(log_alpha_bar));
    schedule.noise.push_back(-std::expm1(log_alpha_bar));
  }
  return schedule;
}

NoiseSchedule linear_noise_schedule(int steps) {
  if (steps < 2) fail("linear_noise_schedule: {} steps; at least 2 are needed", steps);
  constexpr double kFirst = 1e-4, kLast = 0.02, kLargest = 0.999;
  const double scale = 1000.0 / steps;
  std::vector<double> beta;
  for (int i = 0; i < steps; ++i)
    beta.push_back(std::min(scale * (kFirst + (kLast - kFirst) * i / (steps - 1)), kLargest));
  return noise_schedule(beta);
}

GaussianPosterior gaussian_posterior(const NoiseSchedule& schedule, int t) {
  if (t < 1 || t > schedule.steps()) fail("gaussian_posterior: t {} is not in 1..{}", t, schedule.steps());
  const auto now = static_cast<size_t>(t), before = now - 1;
  const double beta = schedule.beta[now], noise = schedule.noise[now];
  return {.x_0_coefficient = std::sqrt(schedule.alpha_bar[before]) * beta / noise,
          .x_t_coefficient = std::sqrt(schedule.alpha[now]) * schedule.noise[before] / noise,
          .variance = beta * schedule.noise[before] / noise};
}

}  // namespace haze
