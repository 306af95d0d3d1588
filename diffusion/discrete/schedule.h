#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// How much of a text is still there at time t: alpha_bar(t) = q(x_t = x_0 | x_0), falling from 1 at t = 0 to
/// 0 at t = 1. Continuous-time schedules of masked diffusion (Sahoo et al. 2024, "Simple and effective masked
/// diffusion language models", section 3.1; Shi et al. 2024, "Simplified and generalized masked diffusion",
/// table 1).
enum class ContinuousSchedule {
  log_linear,  // alpha_bar = 1 - t
  cosine,      // alpha_bar = 1 - cos(pi/2 (1 - t)) = 1 - sin(pi/2 t)
  polynomial,  // alpha_bar = 1 - t^power
};

class MaskingSchedule {
 public:
  /// `power` > 0 belongs to the polynomial schedule. Throws Error otherwise.
  explicit MaskingSchedule(ContinuousSchedule kind = ContinuousSchedule::log_linear, double power = 2);

  /// Probability that a token is still itself at time t in [0, 1].
  double alpha_bar(double t) const;
  /// 1 - alpha_bar(t), without cancellation near t = 0.
  double mask_probability(double t) const;
  /// -alpha_bar'(t) / (1 - alpha_bar(t)): the weight of the cross-entropy in the continuous-time bound. 1/t
  /// for log_linear, exactly.
  double loss_weight(double t) const;
  /// The t at which the mask probability is p in [0, 1].
  double time_of_mask_probability(double p) const;

  ContinuousSchedule kind() const { return kind_; }

 private:
  ContinuousSchedule kind_;
  double power_;
};

/// Discrete-time schedules: beta_t for t = 1..T (Austin et al. 2021, "Structured denoising diffusion models
/// in discrete state-spaces", section 3.1 and appendix A.2).
enum class DiscreteSchedule {
  reciprocal,  // beta_t = 1 / (T - t + 1), so that alpha_bar_t = 1 - t/T
  cosine,      // alpha_bar_t = f(t) / f(0), f(t) = cos^2(pi/2 (t/T + s) / (1 + s)), s = 0.008
  linear,      // beta_t rising evenly, scaled with T, and 1 at T
};

/// beta_1..beta_T and what follows from them, in float64. Index 0 of alpha_bar is time 0.
struct DiscreteNoise {
  std::vector<double> beta;       // [T + 1]; beta[0] is 0
  std::vector<double> alpha_bar;  // [T + 1]: product of (1 - beta_s) for s <= t; 1 at 0 and 0 at T

  int steps() const { return static_cast<int>(beta.size()) - 1; }
  /// The first t at which the mask probability 1 - alpha_bar_t is at least p in [0, 1]. T for p = 1: a
  /// schedule may mask everything before.
  int time_of_mask_probability(double p) const;
};

/// Throws Error where steps < 1.
DiscreteNoise discrete_noise(DiscreteSchedule kind, int steps);

/// By name, as in a configuration; throws Error with the names there are.
ContinuousSchedule continuous_schedule(std::string_view name);
DiscreteSchedule discrete_schedule(std::string_view name);

}  // namespace haze
