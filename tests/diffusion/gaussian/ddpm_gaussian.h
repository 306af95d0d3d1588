#pragma once

#include <cmath>

#include "haze/diffusion/gaussian/ddpm.h"

#include "diffusion/toy_language.h"

/// One-dimensional Gaussian data, of which all that a DDPM learns has a closed form.
namespace haze::diffusion_test {

constexpr double kMean = 0.7, kDeviation = 0.5;

/// beta_t evenly up to 0.4.
inline NoiseSchedule short_schedule(int steps = 8) {
  std::vector<double> beta;
  for (int t = 1; t <= steps; ++t) beta.push_back(0.4 * t / steps);
  return noise_schedule(beta);
}

/// KL(N(mean_1, variance_1) || N(mean_2, variance_2)), as the lecture prints it.
inline double gaussian_kl(double mean_1, double variance_1, double mean_2, double variance_2) {
  return std::log(std::sqrt(variance_2 / variance_1)) +
         (variance_1 + (mean_1 - mean_2) * (mean_1 - mean_2)) / (2 * variance_2) - 0.5;
}

/// Var(x_0 | x_t).
inline double uncertainty_of_x_0(const NoiseSchedule& schedule, int t) {
  const double data = kDeviation * kDeviation, noise = schedule.noise[static_cast<size_t>(t)];
  return data * noise / (schedule.alpha_bar[static_cast<size_t>(t)] * data + noise);
}

/// Var(x_{t-1} | x_t) of the data: the posterior's, and what not knowing x_0 adds.
inline double optimal_variance(const NoiseSchedule& schedule, int t) {
  const GaussianPosterior posterior = gaussian_posterior(schedule, t);
  return posterior.variance +
         posterior.x_0_coefficient * posterior.x_0_coefficient * uncertainty_of_x_0(schedule, t);
}

/// E[x_{t-1} | x_t] = slope x_t + shift.
struct ReverseMean {
  double slope, shift;
};
inline ReverseMean optimal_reverse_mean(const NoiseSchedule& schedule, int t) {
  const auto i = static_cast<size_t>(t);
  const double share =  // of the step's noise in the variance of x_t
      schedule.beta[i] / (schedule.alpha_bar[i] * kDeviation * kDeviation + schedule.noise[i]);
  const double root = std::sqrt(schedule.alpha[i]);
  return {(1 - share) / root, share * std::sqrt(schedule.alpha_bar[i]) * kMean / root};
}

/// The share of a learned variance with which it is `variance` at t.
inline double share_of(const NoiseSchedule& schedule, double variance, int t) {
  const double low = std::log(reverse_variance(schedule, ReverseVariance::small, t));
  return (std::log(variance) - low) / (std::log(schedule.beta[static_cast<size_t>(t)]) - low);
}

/// E[epsilon | x_t], E[x_0 | x_t] or E[v | x_t], and the optimal variance.
inline DdpmNetwork optimal_network(const GaussianDiffusion& diffusion) {
  return [diffusion](const Tensor& x_t, const Tensor& t) -> DdpmPrediction {
    const std::vector<int32_t> steps = t.to_vector<int32_t>();
    std::vector<double> value = x_t.to_vector<double>(), share;
    for (size_t i = 0; i < value.size(); ++i) {
      const auto step = static_cast<size_t>(steps[i]);
      const double alpha = std::sqrt(diffusion.schedule.alpha_bar[step]);
      const double variance = diffusion.schedule.noise[step], data = kDeviation * kDeviation;
      const double surprise = (value[i] - alpha * kMean) / (alpha * alpha * data + variance);
      const double epsilon = std::sqrt(variance) * surprise, x_0 = kMean + alpha * data * surprise;
      value[i] = diffusion.prediction == Parameterisation::epsilon ? epsilon
                 : diffusion.prediction == Parameterisation::x_0
                     ? x_0
                     : alpha * epsilon - std::sqrt(variance) * x_0;
      share.push_back(share_of(diffusion.schedule, optimal_variance(diffusion.schedule, steps[i]), steps[i]));
    }
    const auto shaped = [&](const std::vector<double>& numbers) {
      return Variable(cast(Tensor::from(numbers, x_t.shape()), x_t.dtype()));
    };
    if (diffusion.variance != ReverseVariance::learned) return {shaped(value), {}};
    return {shaped(value), shaped(share)};
  };
}

/// float64 [count, 1].
inline Tensor gaussian_examples(int64_t count, Generator& generator) {
  return normal({count, 1}, generator, kMean, kDeviation, Dtype::float64);
}

inline bool means_agree(const std::vector<double>& draws, double truth) {
  RunningMean mean;
  for (double draw : draws) mean.add(draw);
  return mean.agrees_with(truth);
}

}  // namespace haze::diffusion_test
