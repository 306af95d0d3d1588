#include "haze/diffusion/gaussian/ancestral_sampler.h"

#include <cmath>

namespace haze {
namespace {

Tensor standard_deviation(const LevelStep& step, ReverseVariance variance, const Denoised& denoised) {
  const Tensor& share = denoised.variance_share;
  const auto constant = [&](double value) {
    return full({1}, value, denoised.x_0.dtype(), denoised.x_0.device());
  };
  switch (variance) {
    case ReverseVariance::small:
      return constant(std::sqrt(step.posterior_variance));
    case ReverseVariance::large:
      return constant(std::sqrt(step.added_variance));
    case ReverseVariance::learned: {
      if (!share.defined()) fail("reverse_step: the denoiser learns no variance");
      const double low = std::log(step.posterior_variance), high = std::log(step.added_variance);
      return unary(UnaryOp::exp, scale_shift(share, 0.5 * (high - low), 0.5 * low));
    }
  }
  fail("reverse_step: unknown variance");
}

}  // namespace

ReverseStep reverse_step(const Denoised& denoised, const Tensor& x, const NoiseLevel& from,
                         const NoiseLevel& to, ReverseVariance variance) {
  const LevelStep step = step_between(from, to);
  ReverseStep result{.mean = weighted_sum(step.x_0_coefficient, denoised.x_0, step.x_t_coefficient, x),
                     .deviation = {}};
  if (to.sigma > 0) result.deviation = standard_deviation(step, variance, denoised);
  return result;
}

Tensor ancestral_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                        ReverseVariance variance, Tensor x, const NoiseSource& noise,
                        const LevelObserver& observer, const Steering& steering) {
  check_levels(levels);
  const NoGradient scope;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const NoiseLevel &from = levels[i], &to = levels[i + 1];
    const ReverseStep step = reverse_step(denoise(x, from), x, from, to, variance);
    x = step.mean;
    if (step.deviation.defined()) {
      if (steering.mean) x = steering.mean(step, to);
      x = add(x, multiply(step.deviation, noise(x.shape(), x.dtype())));
      if (steering.sample) x = steering.sample(x, step, to);
    }
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze
