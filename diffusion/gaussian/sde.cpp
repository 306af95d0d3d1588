#include "haze/diffusion/gaussian/sde.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace haze {
namespace {

double beta(const Sde& sde, double t) {
  return sde.beta_min + t * (sde.beta_max - sde.beta_min);
}

// B(t), the integral of beta from 0 to t.
double beta_integral(const Sde& sde, double t) {
  return t * sde.beta_min + 0.5 * t * t * (sde.beta_max - sde.beta_min);
}

double exploding_sigma(const Sde& sde, double t) {
  return sde.sigma_min * std::pow(sde.sigma_max / sde.sigma_min, t);
}

// Of every SDE with a linear drift, g^2 / sigma^2 dt = d log(sigma^2 / alpha^2), minus that of the log-SNR.
double log_noise_to_signal(const Sde& sde, double t) {
  const NoiseLevel level = sde_level(sde, t);
  return 2 * std::log(level.sigma / level.alpha);
}

std::vector<NoiseLevel> levels_at(const Sde& sde, std::span<const double> times) {
  std::vector<NoiseLevel> levels;
  for (double t : times) levels.push_back(sde_level(sde, t));
  levels.push_back({.alpha = 1, .sigma = 0, .time = 0});
  return levels;
}

}  // namespace

void check_sde(const Sde& sde) {
  if (!(sde.beta_min >= 0 && sde.beta_max >= sde.beta_min && sde.beta_max > 0))
    fail("sde: beta cannot rise from {} to {}", sde.beta_min, sde.beta_max);
  if (!(sde.sigma_min > 0 && sde.sigma_max > sde.sigma_min))
    fail("sde: sigma cannot rise from {} to {}", sde.sigma_min, sde.sigma_max);
}

double drift_coefficient(const Sde& sde, double t) {
  return sde.kind == SdeKind::variance_exploding ? 0 : -0.5 * beta(sde, t);
}

double diffusion(const Sde& sde, double t) {
  switch (sde.kind) {
    case SdeKind::variance_preserving:
      return std::sqrt(beta(sde, t));
    case SdeKind::sub_variance_preserving:
      return std::sqrt(beta(sde, t) * -std::expm1(-2 * beta_integral(sde, t)));
    case SdeKind::variance_exploding:
      return exploding_sigma(sde, t) * std::sqrt(2 * std::log(sde.sigma_max / sde.sigma_min));
  }
  fail("diffusion: unknown kind of SDE");
}

NoiseLevel sde_level(const Sde& sde, double t) {
  if (!(t >= 0 && t <= 1)) fail("sde_level: t {} is not in [0, 1]", t);
  if (sde.kind == SdeKind::variance_exploding)
    return {.alpha = 1, .sigma = exploding_sigma(sde, t), .time = t};
  const double integral = beta_integral(sde, t), variance = -std::expm1(-integral);
  const bool preserving = sde.kind == SdeKind::variance_preserving;
  return {
      .alpha = std::exp(-0.5 * integral), .sigma = preserving ? std::sqrt(variance) : variance, .time = t};
}

double prior_deviation(const Sde& sde) {
  return sde.kind == SdeKind::variance_exploding ? sde.sigma_max : 1;
}

Tensor score_of(const Denoised& denoised, const NoiseLevel& level) {
  return scale_shift(denoised.epsilon, -1 / level.sigma, 0);
}

namespace {

// The B(t) of VP and sub-VP at which log(sigma^2 / alpha^2) has this value. Their sigma / alpha is
// sqrt(e^B - 1) and 2 sinh(B / 2).
double beta_integral_at(const Sde& sde, double log_noise) {
  if (sde.kind == SdeKind::sub_variance_preserving) return 2 * std::asinh(0.5 * std::exp(0.5 * log_noise));
  return std::max(log_noise, 0.0) + std::log1p(std::exp(-std::abs(log_noise)));
}

// The t of this B(t): the root of a quadratic, in the form that loses no digits for small B.
double time_of_beta_integral(const Sde& sde, double integral) {
  const double slope = sde.beta_max - sde.beta_min;
  return 2 * integral / (sde.beta_min + std::sqrt(sde.beta_min * sde.beta_min + 2 * slope * integral));
}

}  // namespace

double time_at_noise_share(const Sde& sde, double start, double share) {
  // log sigma of VE is linear in t.
  if (sde.kind == SdeKind::variance_exploding) return start + share * (1 - start);
  const double first = log_noise_to_signal(sde, start);
  const double wanted = first + share * (log_noise_to_signal(sde, 1) - first);
  return std::clamp(time_of_beta_integral(sde, beta_integral_at(sde, wanted)), start, 1.0);
}

std::vector<double> falling_times(int64_t steps, double end) {
  if (steps < 1) fail("falling_times: {} steps", steps);
  if (!(end > 0 && end < 1)) fail("falling_times: the end {} is not between 0 and 1", end);
  std::vector<double> times;
  for (int64_t i = 0; i <= steps; ++i)
    times.push_back(1 - (1 - end) * static_cast<double>(i) / static_cast<double>(steps));
  times.back() = end;
  return times;
}

std::vector<NoiseLevel> sde_levels(const Sde& sde, int64_t steps, double end) {
  return levels_at(sde, falling_times(steps, end));
}

std::vector<NoiseLevel> sde_log_snr_levels(const Sde& sde, int64_t steps, double end) {
  std::vector<double> times = falling_times(steps, end);
  for (int64_t i = 1; i < steps; ++i) {
    const double share = 1 - static_cast<double>(i) / static_cast<double>(steps);
    times[static_cast<size_t>(i)] = time_at_noise_share(sde, end, share);
  }
  return levels_at(sde, times);
}

}  // namespace haze
