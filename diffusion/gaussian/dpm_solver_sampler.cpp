#include "haze/diffusion/gaussian/dpm_solver_sampler.h"

#include <cmath>

namespace haze {

Tensor dpm_solver_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, Tensor x,
                         const LevelObserver& observer) {
  check_levels(levels);
  const NoGradient scope;
  const auto lambda = [](const NoiseLevel& level) { return std::log(level.alpha) - std::log(level.sigma); };
  Tensor x_0_before;
  double h_before = 0;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const NoiseLevel &from = levels[i], &to = levels[i + 1];
    const double h = lambda(to) - lambda(from);
    const Tensor x_0 = denoise(x, from).x_0;
    Tensor direction = x_0;  // D_i
    if (x_0_before.defined() && to.sigma > 0) {
      const double r = h_before / h;
      direction = weighted_sum(1 + 1 / (2 * r), x_0, -1 / (2 * r), x_0_before);
    }
    x = weighted_sum(to.sigma / from.sigma, x, -to.alpha * std::expm1(-h), direction);
    x_0_before = x_0;
    h_before = h;
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze
