#include "haze/diffusion/gaussian/ddpm.h"

#include <algorithm>
#include <cmath>

#include "haze/diffusion/gaussian/ddpm_bound.h"
#include "haze/diffusion/gaussian/per_example.h"
#include "haze/diffusion/random_times.h"

namespace haze {

double reverse_variance(const NoiseSchedule& schedule, ReverseVariance kind, int t, int64_t value_levels) {
  switch (kind) {
    case ReverseVariance::small:
      return gaussian_posterior(schedule, std::max(t, 2)).variance;
    case ReverseVariance::large:
      if (t == 1 && value_levels > 0) return gaussian_posterior(schedule, 2).variance;
      return schedule.beta[static_cast<size_t>(t)];
    case ReverseVariance::learned:
      break;
  }
  fail("reverse_variance: a learned variance is the network's");
}

Tensor add_one_step(const NoiseSchedule& schedule, const Tensor& x_before, int t, Generator& generator) {
  if (t < 1 || t > schedule.steps()) fail("add_one_step: t {} is not in 1..{}", t, schedule.steps());
  const auto i = static_cast<size_t>(t);
  const Tensor noise = normal(x_before.shape(), generator, 0, 1, x_before.dtype(), x_before.device());
  return add(scale_shift(x_before, std::sqrt(schedule.alpha[i]), 0),
             scale_shift(noise, std::sqrt(schedule.beta[i]), 0));
}

std::vector<Tensor> NoisyValues::tensors() const {
  if (!is_all_of_loss) return {};
  return {x_0, x_t, noise, t};
}

std::shared_ptr<const Prepared> NoisyValues::to(Device device) const {
  if (!is_all_of_loss) return nullptr;
  auto result = std::make_shared<NoisyValues>(*this);
  for (Tensor* tensor : {&result->x_0, &result->x_t, &result->noise, &result->t})
    *tensor = clone(haze::to(*tensor, device));
  return result;
}

NoisyValues add_noise(const NoiseSchedule& schedule, const Tensor& x_0, const Tensor& t,
                      Generator& generator) {
  NoisyValues result;
  result.x_0 = x_0;
  result.t = t;
  result.noise = normal(x_0.shape(), generator, 0, 1, x_0.dtype(), x_0.device());
  const Tensor data_scale = at_steps(t, x_0, [&](size_t i) { return std::sqrt(schedule.alpha_bar[i]); });
  const Tensor noise_scale = at_steps(t, x_0, [&](size_t i) { return std::sqrt(schedule.noise[i]); });
  result.x_t = add(multiply(data_scale, x_0), multiply(noise_scale, result.noise));
  return result;
}

Tensor spread_steps(int64_t count, const NoiseSchedule& schedule, Generator& generator) {
  return Tensor::from(draw_steps(count, schedule.steps(), /*antithetic=*/true, generator), {count});
}

// ---- Algorithm 1 -----------------------------------------------------------------------------------------

Tensor prediction_target(const GaussianDiffusion& diffusion, const NoisyValues& noisy) {
  const NoiseSchedule& schedule = diffusion.schedule;
  switch (diffusion.prediction) {
    case Parameterisation::epsilon:
      return noisy.noise;
    case Parameterisation::x_0:
      return noisy.x_0;
    case Parameterisation::v: {
      const Tensor& x_0 = noisy.x_0;
      const Tensor alpha = at_steps(noisy.t, x_0, [&](size_t i) { return std::sqrt(schedule.alpha_bar[i]); });
      const Tensor sigma = at_steps(noisy.t, x_0, [&](size_t i) { return std::sqrt(schedule.noise[i]); });
      return subtract(multiply(alpha, noisy.noise), multiply(sigma, x_0));
    }
  }
  fail("prediction_target: unknown parameterisation");
}

Variable predicted_x_0(const GaussianDiffusion& diffusion, const Variable& prediction, const Tensor& x_t,
                       const Tensor& t) {
  const NoiseSchedule& schedule = diffusion.schedule;
  // x_0 = a x_t + b prediction, with alpha^2 + sigma^2 = 1.
  const auto combination = [&](auto a, auto b) {
    return Variable(multiply(at_steps(t, x_t, a), x_t)) + Variable(at_steps(t, x_t, b)) * prediction;
  };
  const auto alpha = [&](size_t i) { return std::sqrt(schedule.alpha_bar[i]); };
  const auto sigma = [&](size_t i) { return std::sqrt(schedule.noise[i]); };
  switch (diffusion.prediction) {
    case Parameterisation::epsilon:
      return combination([&](size_t i) { return 1 / alpha(i); },
                         [&](size_t i) { return -sigma(i) / alpha(i); });
    case Parameterisation::x_0:
      return prediction;
    case Parameterisation::v:
      return combination(alpha, [&](size_t i) { return -sigma(i); });
  }
  fail("predicted_x_0: unknown parameterisation");
}

namespace {

// [n, ...] -> [n]
Variable mean_of_example(const Variable& x) {
  return mean(reshape(x, {x.size(0), -1}), {1});
}

// L_vlb in nats a number, but for the prior's term, which no network changes.
Variable bound_losses(const GaussianDiffusion& diffusion, const DdpmPrediction& prediction,
                      const NoisyValues& noisy) {
  return ddpm_terms(diffusion, prediction, noisy) *
         (diffusion.schedule.steps() / numbers_per_example(noisy.x_0));
}

}  // namespace

Variable ddpm_losses(const GaussianDiffusion& diffusion, DdpmLoss loss, const DdpmPrediction& prediction,
                     const NoisyValues& noisy) {
  if (loss == DdpmLoss::bound) return bound_losses(diffusion, prediction, noisy);
  const Variable error = prediction.value - Variable(prediction_target(diffusion, noisy));
  if (loss == DdpmLoss::l1) return mean_of_example(unary(UnaryOp::absolute, error));
  const Variable simple = mean_of_example(square(error));
  if (loss == DdpmLoss::simple) return simple;
  // The mean learns from L_simple alone: L_vlb is given it as a constant.
  constexpr double kBoundWeight = 0.001;
  const DdpmPrediction variance_alone{prediction.value.detach(), prediction.variance_share};
  return simple + kBoundWeight * bound_losses(diffusion, variance_alone, noisy);
}

Variable weighted_mean(const Variable& losses, const Tensor& weights) {
  return mean(weights.defined() ? losses * Variable(to(cast(weights, losses.dtype()), losses.device()))
                                : losses);
}

// ---- Algorithm 2 -----------------------------------------------------------------------------------------

GaussianDenoiser ddpm_denoiser(const DdpmNetwork& network, const GaussianDiffusion& diffusion) {
  return [network, diffusion](const Tensor& x, const NoiseLevel& level) {
    // A whole t stays whole, though t / T is rounded.
    const double t = level.time * diffusion.schedule.steps(), whole = std::round(t);
    const DdpmPrediction prediction = network(x, full({x.size(0)}, std::abs(t - whole) < 1e-6 ? whole : t));
    Denoised denoised = denoised_from(diffusion.prediction, prediction.value.value(), x, level);
    if (prediction.variance_share.defined()) denoised.variance_share = prediction.variance_share.value();
    return denoised;
  };
}

Samples ddpm_sample(const DdpmNetwork& network, const GaussianDiffusion& diffusion, int64_t count,
                    const Shape& shape, const SampleObserver& observer, Generator& generator) {
  const LevelSampler ancestral = [&](const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                                     Tensor x, const NoiseSource& noise, const LevelObserver& observe) {
    return ancestral_sample(denoise, levels, diffusion.variance, std::move(x), noise, observe);
  };
  const std::vector<NoiseLevel> levels = strided_levels(diffusion.schedule, diffusion.schedule.steps());
  return sample_from_noise(ddpm_denoiser(network, diffusion), levels, ancestral, count, shape, observer,
                           generator);
}

}  // namespace haze
