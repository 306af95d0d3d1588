#include "haze/diffusion/gaussian/classifier_guidance.h"

namespace haze {
namespace {

Tensor gradient_at(const LogProbabilityGradient& gradient, const Tensor& x, const NoiseLevel& level) {
  Tensor result = gradient(x, level);
  if (result.shape() != x.shape()) {
    fail("classifier guidance: the gradient has shape {}, x {}", result.shape().to_string(),
         x.shape().to_string());
  }
  return result;
}

}  // namespace

LogProbabilityGradient gradient_of(LogProbability log_probability) {
  return [log_probability = std::move(log_probability)](const Tensor& x, const NoiseLevel& level) {
    const EnableGradient scope;  // samplers record nothing
    const Variable input = Variable::leaf(x);
    // Example i's log probability depends on x_i alone, so the gradient of the sum holds each one's.
    return gradient(sum(log_probability(input, level)), {input})[0].value();
  };
}

Tensor guided_ancestral_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                               ReverseVariance variance, const LogProbabilityGradient& gradient, double scale,
                               Tensor x, const NoiseSource& noise, const LevelObserver& observer) {
  const auto shifted_mean = [&](const ReverseStep& step, const NoiseLevel& to) {
    const Tensor shift =
        multiply(unary(UnaryOp::square, step.deviation), gradient_at(gradient, step.mean, to));
    return weighted_sum(1, step.mean, scale, shift);
  };
  return ancestral_sample(denoise, levels, variance, std::move(x), noise, observer, {.mean = shifted_mean});
}

GaussianDenoiser guided(GaussianDenoiser denoise, LogProbabilityGradient gradient, double scale) {
  return [denoise = std::move(denoise), gradient = std::move(gradient), scale](const Tensor& x,
                                                                               const NoiseLevel& level) {
    const Denoised free = denoise(x, level);
    const Tensor epsilon =
        weighted_sum(1, free.epsilon, -scale * level.sigma, gradient_at(gradient, x, level));
    Denoised conditional = denoised_from(Parameterisation::epsilon, epsilon, x, level);
    conditional.variance_share = free.variance_share;
    return conditional;
  };
}

}  // namespace haze
