#include "haze/diffusion/gaussian/ancestral_sampler.h"

#include <cmath>

namespace haze {
namespace {

// z times the step's standard deviation.
Tensor scaled_noise(const Tensor& z, const LevelStep& step, ReverseVariance variance, const Tensor& share) {
  switch (variance) {
    case ReverseVariance::small:
      return scale_shift(z, std::sqrt(step.posterior_variance), 0);
    case ReverseVariance::large:
      return scale_shift(z, std::sqrt(step.added_variance), 0);
    case ReverseVariance::learned: {
      if (!share.defined()) fail("ancestral_sample: the denoiser learns no variance");
      const double low = std::log(step.posterior_variance), high = std::log(step.added_variance);
      const Tensor log_deviation = scale_shift(share, 0.5 * (high - low), 0.5 * low);
      return multiply(unary(UnaryOp::exp, log_deviation), z);
    }
  }
  fail("ancestral_sample: unknown variance");
}

}  // namespace

Tensor ancestral_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                        ReverseVariance variance, Tensor x, const NoiseSource& noise,
                        const LevelObserver& observer) {
  const NoGradient scope;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const LevelStep step = step_between(levels[i], levels[i + 1]);
    const Denoised denoised = denoise(x, levels[i]);
    x = add(scale_shift(denoised.x_0, step.x_0_coefficient, 0), scale_shift(x, step.x_t_coefficient, 0));
    if (levels[i + 1].sigma > 0)
      x = add(x, scaled_noise(noise(x.shape(), x.dtype()), step, variance, denoised.variance_share));
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze
