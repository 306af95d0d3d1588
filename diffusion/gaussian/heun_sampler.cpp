#include "haze/diffusion/gaussian/heun_sampler.h"

namespace haze {

Tensor heun_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, Tensor x,
                   const LevelObserver& observer) {
  check_levels(levels);
  const NoGradient scope;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const NoiseLevel &from = levels[i], &to = levels[i + 1];
    const double scale = to.alpha / from.alpha;
    const double step = to.sigma - scale * from.sigma;  // alpha_s times the step in sigma / alpha
    const Tensor slope = denoise(x, from).epsilon;
    Tensor next = weighted_sum(scale, x, step, slope);  // Euler
    if (to.sigma > 0) {
      const Tensor slope_there = denoise(next, to).epsilon;
      next = weighted_sum(scale, x, step, weighted_sum(0.5, slope, 0.5, slope_there));
    }
    x = next;
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze
