#pragma once

#include <span>
#include <vector>

#include "haze/diffusion/gaussian/noise_schedule.h"

/// The levels of noise that a sampler goes through. Samplers know nothing else of the process: steps of
/// Ho et al. 2020 and times of Song et al. 2021 are levels alike.
namespace haze {

/// How noisy x is: x = alpha x_0 + sigma epsilon, with epsilon from N(0, I).
struct NoiseLevel {
  double alpha = 1;  // positive
  double sigma = 0;  // not negative; 0: x is data
  double time = 0;   // in [0, 1], what the network is told; 0 is data
};

/// The level of step t in 0..T: alpha = sqrt(alpha_bar_t), sigma = sqrt(1 - alpha_bar_t), time = t / T.
NoiseLevel noise_level(const NoiseSchedule& schedule, int t);

/// `count` steps of 1..T, evenly spaced and rounded, falling from T to 1; of one step, T alone (Nichol and
/// Dhariwal 2021, section 4). Throws Error where count is not in 1..T.
std::vector<int> strided_steps(int steps, int count);

/// The levels of strided_steps(), and of the data after them: count + 1 levels.
std::vector<NoiseLevel> strided_levels(const NoiseSchedule& schedule, int count);

/// `count` levels from step T to step 1, evenly spaced in lambda = log(alpha / sigma), and that of the data
/// after them (Lu et al. 2022, "DPM-Solver", section 3.3). Most lie between two steps of the schedule, where
/// the time is linear in lambda. Throws Error where count < 1.
std::vector<NoiseLevel> log_snr_levels(const NoiseSchedule& schedule, int count);

/// Samplers need two levels at least, positive alphas, and sigma / alpha falling from level to level. Throws
/// Error where that does not hold.
void check_levels(std::span<const NoiseLevel> levels);

/// What lies between a level t and a less noisy level s:
///   q(x_t | x_s)      = N(alpha_ratio x_s, added_variance I),
///   q(x_s | x_t, x_0) = N(x_0_coefficient x_0 + x_t_coefficient x_t, posterior_variance I)
/// (Kingma et al. 2021, "Variational diffusion models", appendix A.2; with s = t - 1 the posterior of Ho et
/// al. 2020, equations 6 and 7).
struct LevelStep {
  double alpha_ratio;         // alpha_t / alpha_s
  double added_variance;      // sigma_t^2 - alpha_ratio^2 sigma_s^2; beta_t where s = t - 1
  double x_0_coefficient;     // alpha_s added_variance / sigma_t^2
  double x_t_coefficient;     // alpha_ratio sigma_s^2 / sigma_t^2
  double posterior_variance;  // added_variance sigma_s^2 / sigma_t^2
};
/// Throws Error where `to` is not less noisy than `from`.
LevelStep step_between(const NoiseLevel& from, const NoiseLevel& to);

}  // namespace haze
