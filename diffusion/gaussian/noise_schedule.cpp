#include "haze/diffusion/gaussian/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "haze/engine/error.h"

namespace haze {
namespace {

// No step takes all of the data away: x_{t-1} could not be told from x_t.
constexpr double kLargestBeta = 0.999;

// beta_1..beta_T from beta(t).
template <typename F>
NoiseSchedule clipped_schedule(const char* name, int steps, F beta) {
  if (steps < 2) fail("{}_noise_schedule: {} steps; at least 2 are needed", name, steps);
  std::vector<double> result;
  for (int t = 1; t <= steps; ++t) result.push_back(std::min(beta(t), kLargestBeta));
  return noise_schedule(result);
}

}  // namespace

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
  constexpr double kFirst = 1e-4, kLast = 0.02;
  return clipped_schedule("linear", steps, [=](int t) {
    return 1000.0 / steps * (kFirst + (kLast - kFirst) * (t - 1) / (steps - 1));
  });
}

// beta_t = 1 - f(t) / f(t - 1) = (f(t - 1) - f(t)) / f(t - 1). The differences are written as products, since
// neighbours share most of their digits.

NoiseSchedule cosine_noise_schedule(int steps) {
  constexpr double kOffset = 0.008;
  const auto angle = [=](double t) { return (t / steps + kOffset) / (1 + kOffset) * std::numbers::pi / 2; };
  return clipped_schedule("cosine", steps, [=](int t) {
    const double before = angle(t - 1), now = angle(t);
    return std::sin(now - before) * std::sin(now + before) / (std::cos(before) * std::cos(before));
  });
}

NoiseSchedule sqrt_noise_schedule(int steps) {
  constexpr double kOffset = 1e-4;
  const auto root = [=](double t) { return std::sqrt(t / steps + kOffset); };
  return clipped_schedule("sqrt", steps, [=](int t) {
    const double before = root(t - 1), now = root(t);
    return 1.0 / steps / (now + before) / (1 - before);
  });
}

namespace {

using MakeSchedule = NoiseSchedule (*)(int steps);
constexpr std::pair<const char*, MakeSchedule> kSchedules[] = {
    {"linear", linear_noise_schedule}, {"cosine", cosine_noise_schedule}, {"sqrt", sqrt_noise_schedule}};

}  // namespace

std::vector<std::string> noise_schedule_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kSchedules) names.emplace_back(name);
  return names;
}

NoiseSchedule noise_schedule_called(const std::string& name, int steps) {
  for (const auto& [known, make] : kSchedules) {
    if (name == known) return make(steps);
  }
  fail("there is no noise schedule '{}'; there are linear, cosine and sqrt", name);
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
