#pragma once

#include <vector>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

/// Song et al. 2021, "Score-based generative modeling through stochastic differential equations": the steps
/// of a diffusion become so small that t is a real number in [0, 1].
namespace haze {

enum class SdeKind {
  variance_preserving,      // VP: the limit of DDPM (equation 11)
  sub_variance_preserving,  // sub-VP: less noise at every t < 1 (equation 12)
  variance_exploding,       // VE: the limit of score matching with Langevin dynamics, SMLD (equation 9)
};

/// dx = f(x, t) dt + g(t) dw. The drift f is a number times x.
struct Sde {
  SdeKind kind = SdeKind::variance_preserving;
  double beta_min = 0.1, beta_max = 20;     // beta(t) = beta_min + t (beta_max - beta_min): VP, sub-VP
  double sigma_min = 0.01, sigma_max = 50;  // sigma(t) = sigma_min (sigma_max / sigma_min)^t: VE
};

/// Throws Error unless 0 <= beta_min <= beta_max, 0 < beta_max and 0 < sigma_min < sigma_max.
void check_sde(const Sde& sde);

/// f(x, t) / x: -beta(t) / 2 of VP and sub-VP, 0 of VE (equations 9, 11 and 12).
double drift_coefficient(const Sde& sde, double t);

/// g(t): sqrt(beta(t)) of VP, sqrt(beta(t) (1 - e^{-2 B(t)})) of sub-VP with B(t) the integral of beta from 0
/// to t, sigma(t) sqrt(2 log(sigma_max / sigma_min)) of VE.
double diffusion(const Sde& sde, double t);

/// p_{0t}(x(t) | x(0)) = N(alpha x(0), sigma^2 I) (equation 29), with time = t. The deviation sigma is
/// sqrt(1 - e^{-B(t)}) of VP, 1 - e^{-B(t)} of sub-VP and sigma(t) of VE. alpha is e^{-B(t)/2}, and 1 of VE.
/// VE has sigma_min at t = 0. Throws Error where t is not in [0, 1].
NoiseLevel sde_level(const Sde& sde, double t);

/// The standard deviation of p_T, from which samples start: 1, and sigma_max of VE.
double prior_deviation(const Sde& sde);

/// The score of p_t, the gradient of log p_t(x): -epsilon / sigma.
Tensor score_of(const Denoised& denoised, const NoiseLevel& level);

/// Where sampling ends (appendix C): g^2 / sigma of VP grows without bound as t falls to 0.
inline constexpr double kSamplingEnd = 1e-3;

/// The time at which log(sigma^2 / alpha^2) has grown by this share of its growth from `start` to 1. It grows
/// by g^2 / sigma^2 dt, of every SDE here.
double time_at_noise_share(const Sde& sde, double start, double share);

/// `steps` + 1 times, evenly from 1 down to `end`. Throws Error where steps < 1 or end is not in (0, 1).
std::vector<double> falling_times(int64_t steps, double end = kSamplingEnd);

/// The levels of falling_times(), and of the data after them: `steps` + 2 levels. The step to the data takes
/// the remaining noise away, as the paper's code does.
std::vector<NoiseLevel> sde_levels(const Sde& sde, int64_t steps, double end = kSamplingEnd);

/// The same, evenly in the log-SNR log(alpha^2 / sigma^2) but for the step to the data.
std::vector<NoiseLevel> sde_log_snr_levels(const Sde& sde, int64_t steps, double end = kSamplingEnd);

}  // namespace haze
