#include "haze/diffusion/gaussian/diffusion_lm/word_process.h"

#include <cmath>
#include <utility>

#include "haze/diffusion/gaussian/ddpm.h"

namespace haze {

WordProcess word_process(NoiseSchedule schedule) {
  const double sigma_0 = std::sqrt(schedule.noise.at(1));
  return {.schedule = std::move(schedule), .sigma_0 = sigma_0};
}

NoiseLevel word_level(const WordProcess& process, int t) {
  return to_word_level(process, noise_level(process.schedule, t));
}

NoiseLevel to_word_level(const WordProcess& process, const NoiseLevel& level) {
  NoiseLevel result = level;
  result.sigma = std::hypot(level.sigma, level.alpha * process.sigma_0);
  return result;
}

NoiseLevel from_word_level(const WordProcess& process, const NoiseLevel& level) {
  NoiseLevel result = level;
  const double inherited = level.alpha * process.sigma_0;
  // (a + b)(a - b) keeps the digits that a^2 - b^2 would lose.
  result.sigma = std::sqrt((level.sigma + inherited) * (level.sigma - inherited));
  return result;
}

WordReverseStep word_reverse_step(const WordProcess& process, WordEstimate estimate, ReverseVariance variance,
                                  int t) {
  if (variance == ReverseVariance::learned) fail("word_reverse_step: the variance is a fixed one");
  if (estimate == WordEstimate::x_0) {
    const GaussianPosterior posterior = gaussian_posterior(process.schedule, t);
    return {posterior.x_0_coefficient, posterior.x_t_coefficient,
            reverse_variance(process.schedule, variance, t)};
  }
  const LevelStep step = step_between(word_level(process, t), word_level(process, t - 1));
  return {step.x_0_coefficient, step.x_t_coefficient,
          variance == ReverseVariance::small ? step.posterior_variance : step.added_variance};
}

Tensor for_rows(const Sequences& sequences, const std::vector<double>& numbers, Dtype dtype) {
  std::vector<double> result;
  result.reserve(static_cast<size_t>(sequences.rows));
  for (size_t i = 0; i < numbers.size(); ++i)
    result.insert(result.end(), static_cast<size_t>(sequences.lengths[i]), numbers[i]);
  return cast(Tensor::from(result, {sequences.rows, 1}, sequences.offsets.device()), dtype);
}

}  // namespace haze
