#include "haze/diffusion/discrete/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr double kHalfPi = std::numbers::pi / 2;

void check_time(double t) {
  if (!(t >= 0 && t <= 1)) fail("MaskingSchedule: time {} is not in [0, 1]", t);
}

}  // namespace

MaskingSchedule::MaskingSchedule(ContinuousSchedule kind, double power) : kind_(kind), power_(power) {
  if (!(power > 0)) fail("MaskingSchedule: power {} is not positive", power);
}

double MaskingSchedule::alpha_bar(double t) const {
  return 1 - mask_probability(t);
}

double MaskingSchedule::mask_probability(double t) const {
  check_time(t);
  switch (kind_) {
    case ContinuousSchedule::log_linear:
      return t;
    case ContinuousSchedule::cosine:
      return std::sin(kHalfPi * t);
    case ContinuousSchedule::polynomial:
      return std::pow(t, power_);
  }
  return t;
}

double MaskingSchedule::loss_weight(double t) const {
  check_time(t);
  switch (kind_) {
    case ContinuousSchedule::log_linear:
      return 1 / t;
    case ContinuousSchedule::cosine:
      return kHalfPi / std::tan(kHalfPi * t);
    case ContinuousSchedule::polynomial:
      return power_ / t;
  }
  return 1 / t;
}

double MaskingSchedule::time_of_mask_probability(double p) const {
  if (!(p >= 0 && p <= 1)) fail("MaskingSchedule: mask probability {} is not in [0, 1]", p);
  switch (kind_) {
    case ContinuousSchedule::log_linear:
      return p;
    case ContinuousSchedule::cosine:
      return std::asin(p) / kHalfPi;
    case ContinuousSchedule::polynomial:
      return std::pow(p, 1 / power_);
  }
  return p;
}

int DiscreteNoise::time_of_mask_probability(double p) const {
  if (!(p >= 0 && p <= 1)) fail("DiscreteNoise: mask probability {} is not in [0, 1]", p);
  if (p == 1) return steps();
  const auto first =
      std::partition_point(alpha_bar.begin(), alpha_bar.end() - 1, [p](double kept) { return 1 - kept < p; });
  return static_cast<int>(first - alpha_bar.begin());
}

DiscreteNoise discrete_noise(DiscreteSchedule kind, int steps) {
  if (steps < 1) fail("discrete_noise: {} steps", steps);
  DiscreteNoise noise;
  noise.beta.resize(static_cast<size_t>(steps) + 1);
  noise.alpha_bar.resize(static_cast<size_t>(steps) + 1);
  const double total = steps;
  const auto cosine = [total](double t) {
    constexpr double kOffset = 0.008;
    return std::pow(std::cos(kHalfPi * (t / total + kOffset) / (1 + kOffset)), 2);
  };
  noise.alpha_bar[0] = 1;
  for (int t = 1; t <= steps; ++t) {
    switch (kind) {
      case DiscreteSchedule::reciprocal:
        noise.beta[t] = 1.0 / (steps - t + 1);
        break;
      case DiscreteSchedule::cosine:
        noise.beta[t] = 1 - cosine(t) / cosine(t - 1);
        break;
      case DiscreteSchedule::linear: {
        // 1e-4 .. 0.02 for 1000 steps (Ho et al. 2020), scaled so that the noise at the end does not depend
        // on T.
        const double place = steps == 1 ? 1 : (t - 1) / (total - 1);
        noise.beta[t] = std::min(1.0, 1000 / total * (1e-4 + place * (0.02 - 1e-4)));
        break;
      }
    }
    if (t == steps) noise.beta[t] = 1;  // everything is masked at T: the prior is exact
    noise.alpha_bar[t] = noise.alpha_bar[t - 1] * (1 - noise.beta[t]);
  }
  return noise;
}

ContinuousSchedule continuous_schedule(std::string_view name) {
  if (name == "log-linear") return ContinuousSchedule::log_linear;
  if (name == "cosine") return ContinuousSchedule::cosine;
  if (name == "polynomial") return ContinuousSchedule::polynomial;
  fail("schedule: '{}' is not log-linear, cosine or polynomial", name);
}

DiscreteSchedule discrete_schedule(std::string_view name) {
  if (name == "reciprocal") return DiscreteSchedule::reciprocal;
  if (name == "cosine") return DiscreteSchedule::cosine;
  if (name == "linear") return DiscreteSchedule::linear;
  fail("schedule: '{}' is not reciprocal, cosine or linear", name);
}

}  // namespace haze
