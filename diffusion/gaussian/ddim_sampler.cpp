#include "haze/diffusion/gaussian/ddim_sampler.h"

#include <cmath>

namespace haze {

Tensor ddim_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, double eta, Tensor x,
                   const NoiseSource& noise, const LevelObserver& observer) {
  if (!(eta >= 0)) fail("ddim_sample: eta {} is negative", eta);
  check_levels(levels);
  const NoGradient scope;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const NoiseLevel& to = levels[i + 1];
    const LevelStep step = step_between(levels[i], to);
    const double deviation = eta * std::sqrt(step.posterior_variance);  // equation 16
    // sigma_s^2 - deviation^2, without a difference of nearly equal numbers where eta = 1.
    const double kept =
        to.sigma * to.sigma * ((1 - eta * eta) + eta * eta * step.alpha_ratio * step.x_t_coefficient);
    if (!(kept >= 0)) fail("ddim_sample: eta {} asks for more noise than level {} has", eta, i + 1);

    const Denoised denoised = denoise(x, levels[i]);
    x = weighted_sum(to.alpha, denoised.x_0, std::sqrt(kept), denoised.epsilon);  // equation 12
    if (deviation > 0) x = add(x, scale_shift(noise(x.shape(), x.dtype()), deviation, 0));
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze
