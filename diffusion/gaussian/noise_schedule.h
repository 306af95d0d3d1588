#pragma once

#include <string>
#include <vector>

namespace haze {

/// Variances beta_1..beta_T of the steps of a Gaussian diffusion, and what follows from them, in float64. The
/// index is t; index 0 is the data, to which nothing has happened.
struct NoiseSchedule {
  std::vector<double> beta;       // variance that step t adds; beta[0] = 0
  std::vector<double> alpha;      // 1 - beta_t
  std::vector<double> alpha_bar;  // alpha_1 ... alpha_t
  std::vector<double> noise;      // 1 - alpha_bar_t, the variance of q(x_t | x_0), without cancellation

  /// T.
  int steps() const { return static_cast<int>(beta.size()) - 1; }
};

/// The schedule of beta_1..beta_T. Throws Error where there is none, and where one is not in (0, 1).
NoiseSchedule noise_schedule(const std::vector<double>& beta);

/// beta_t evenly from 1e-4 to 0.02, times 1000 / T, and at most 0.999 (Ho et al. 2020, section 4, where T is
/// 1000; scaled and clipped as in Nichol and Dhariwal 2021). Throws Error where steps < 2.
NoiseSchedule linear_noise_schedule(int steps);

/// alpha_bar_t = f(t) / f(0) with f(t) = cos^2((t / T + s) / (1 + s) pi / 2), s = 0.008, and beta_t at most
/// 0.999 (Nichol and Dhariwal 2021, "Improved denoising diffusion probabilistic models", equation 17).
/// Throws Error where steps < 2; so does the next.
NoiseSchedule cosine_noise_schedule(int steps);

/// alpha_bar_t = f(t) / f(0) with f(t) = 1 - sqrt(t / T + s), s = 1e-4, and beta_t at most 0.999 (Li et al.
/// 2022, "Diffusion-LM improves controllable text generation", appendix A).
NoiseSchedule sqrt_noise_schedule(int steps);

/// The names that noise_schedule_called() takes: linear, cosine, sqrt.
std::vector<std::string> noise_schedule_names();
/// The schedule of this name. Throws Error on another name.
NoiseSchedule noise_schedule_called(const std::string& name, int steps);

/// q(x_{t-1} | x_t, x_0) = N(x_0_coefficient x_0 + x_t_coefficient x_t, variance) (Ho et al. 2020, equations
/// 6 and 7).
struct GaussianPosterior {
  double x_0_coefficient;  // sqrt(alpha_bar_{t-1}) beta_t / (1 - alpha_bar_t)
  double x_t_coefficient;  // sqrt(alpha_t) (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t)
  double variance;         // beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t); 0 for t = 1
};
/// t in 1..T.
GaussianPosterior gaussian_posterior(const NoiseSchedule& schedule, int t);

}  // namespace haze
