#include "haze/diffusion/gaussian/predictor_corrector_sampler.h"

#include <cmath>

namespace haze {
namespace {

// The mean over the batch of each example's norm.
double mean_norm(const Tensor& x) {
  const Tensor flat = reshape(x, {x.size(0), -1});
  const Tensor norms = unary(UnaryOp::sqrt, reduce(ReduceOp::sum, unary(UnaryOp::square, flat), {1}));
  return reduce(ReduceOp::mean, cast(norms, Dtype::float64)).item();
}

Tensor predicted(const Denoised& denoised, const NoiseLevel& from, const NoiseLevel& to, const Tensor& x,
                 const NoiseSource& noise) {
  if (to.sigma == 0) return denoised.x_0;
  const LevelStep step = step_between(from, to);
  const Tensor mean = weighted_sum(2 - step.alpha_ratio, x, step.added_variance, score_of(denoised, from));
  return weighted_sum(1, mean, std::sqrt(step.added_variance), noise(x.shape(), x.dtype()));
}

Tensor corrected(const GaussianDenoiser& denoise, const NoiseLevel& level, double alpha_ratio,
                 const CorrectorOptions& options, const Tensor& x, const NoiseSource& noise) {
  const Tensor gradient = score_of(denoise(x, level), level);
  const Tensor z = noise(x.shape(), x.dtype());
  const double ratio = options.batch_norms ? mean_norm(z) / mean_norm(gradient) : level.sigma;
  const double root = alpha_ratio * options.signal_to_noise * ratio, step = 2 * root * root;
  return weighted_sum(1, weighted_sum(1, x, step, gradient), std::sqrt(2 * step), z);
}

}  // namespace

Tensor predictor_corrector_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                                  const CorrectorOptions& corrector, Tensor x, const NoiseSource& noise,
                                  const LevelObserver& observer) {
  check_levels(levels);
  const NoGradient scope;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const NoiseLevel& from = levels[i];
    const NoiseLevel& to = levels[i + 1];
    x = predicted(denoise(x, from), from, to, x, noise);
    const NoiseLevel next = i + 2 < levels.size() ? levels[i + 2] : NoiseLevel{};
    for (int64_t m = 0; m < corrector.steps && to.sigma > 0; ++m)
      x = corrected(denoise, to, to.alpha / next.alpha, corrector, x, noise);
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze
