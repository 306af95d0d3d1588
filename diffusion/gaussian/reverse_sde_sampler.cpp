#include "haze/diffusion/gaussian/reverse_sde_sampler.h"

#include <cmath>

namespace haze {

Tensor reverse_sde_sample(const GaussianDenoiser& denoise, const Sde& sde, std::span<const double> times,
                          Tensor x, const NoiseSource& noise, const LevelObserver& observer) {
  const NoGradient scope;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    const double t = times[i], h = t - times[i + 1], g = diffusion(sde, t);
    if (!(h > 0)) fail("reverse_sde_sample: the times do not fall from {} to {}", t, times[i + 1]);
    const NoiseLevel level = sde_level(sde, t);
    const Tensor score = score_of(denoise(x, level), level);
    const Tensor mean = weighted_sum(1 - drift_coefficient(sde, t) * h, x, g * g * h, score);
    x = weighted_sum(1, mean, g * std::sqrt(h), noise(x.shape(), x.dtype()));
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze
