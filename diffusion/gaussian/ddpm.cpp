#include "haze/diffusion/gaussian/ddpm.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "haze/diffusion/random_times.h"

namespace haze {
namespace {

// One number for each example, of a rank that broadcasts to x [n, ...].
Tensor per_example(const std::vector<double>& numbers, const Tensor& x) {
  Shape shape{std::ssize(numbers)};
  for (int axis = 1; axis < x.rank(); ++axis) shape.append(1);
  return cast(Tensor::from(numbers, shape), x.dtype());
}

// f(t) of each example.
template <typename F>
std::vector<double> of_each(const Tensor& t, F f) {
  std::vector<double> result;
  for (int32_t step : t.to_vector<int32_t>()) result.push_back(f(static_cast<size_t>(step)));
  return result;
}

// Sum of squares of each example, in float64.
std::vector<double> squared_norms(const Tensor& x) {
  const Tensor rows = reshape(cast(x, Dtype::float64), {x.size(0), -1});
  return sum(unary(UnaryOp::square, rows), {1}).to_vector<double>();
}

double numbers_per_example(const Tensor& x) {
  return static_cast<double>(x.elements()) / static_cast<double>(x.size(0));
}

// A term of the bound: nats_per_number for each number of an example, and error_weight times the squared
// error of the predicted noise.
struct TermWeights {
  double nats_per_number, error_weight;
};

TermWeights term_weights(const NoiseSchedule& schedule, ReverseVariance kind, int t) {
  const auto i = static_cast<size_t>(t);
  const double variance = reverse_variance(schedule, kind, t);  // of p_theta
  const double beta = schedule.beta[i];
  const double error_weight = beta * beta / (2 * variance * schedule.alpha[i] * schedule.noise[i]);
  if (t == 1) return {0.5 * std::log(2 * std::numbers::pi * variance), error_weight};
  const double ratio = gaussian_posterior(schedule, t).variance / variance;
  return {0.5 * (ratio - 1 - std::log(ratio)), error_weight};
}

}  // namespace

double reverse_variance(const NoiseSchedule& schedule, ReverseVariance kind, int t) {
  if (kind == ReverseVariance::large) return schedule.beta[static_cast<size_t>(t)];
  return gaussian_posterior(schedule, std::max(t, 2)).variance;
}

NoisyValues add_noise(const NoiseSchedule& schedule, const Tensor& x_0, const Tensor& t,
                      Generator& generator) {
  NoisyValues result;
  result.t = t;
  result.noise = normal(x_0.shape(), generator, 0, 1, x_0.dtype());
  const auto data_scale = of_each(t, [&](size_t i) { return std::sqrt(schedule.alpha_bar[i]); });
  const auto noise_scale = of_each(t, [&](size_t i) { return std::sqrt(schedule.noise[i]); });
  result.x_t =
      add(multiply(per_example(data_scale, x_0), x_0), multiply(per_example(noise_scale, x_0), result.noise));
  return result;
}

Tensor spread_steps(int64_t count, const NoiseSchedule& schedule, Generator& generator) {
  return Tensor::from(draw_steps(count, schedule.steps(), /*antithetic=*/true, generator), {count});
}

Variable ddpm_loss(const NoisePredictor& predict, const NoisyValues& noisy) {
  return mean(square(predict(noisy.x_t, noisy.t) - Variable(noisy.noise)));
}

std::vector<double> ddpm_prior_nats(const NoiseSchedule& schedule, const Tensor& x_0) {
  const double alpha_bar = schedule.alpha_bar.back(), noise = schedule.noise.back();
  const double per_number = 0.5 * (noise - 1 - std::log(noise)) * numbers_per_example(x_0);
  std::vector<double> nats = squared_norms(x_0);
  for (double& value : nats) value = per_number + 0.5 * alpha_bar * value;
  return nats;
}

std::vector<double> ddpm_term_nats(const NoisePredictor& predict, const NoiseSchedule& schedule,
                                   ReverseVariance variance, const Tensor& x_0, const Tensor& t,
                                   Generator& generator) {
  const NoGradient scope;
  const NoisyValues noisy = add_noise(schedule, x_0, t, generator);
  std::vector<double> nats = squared_norms(subtract(predict(noisy.x_t, t).value(), noisy.noise));
  const std::vector<int32_t> steps = t.to_vector<int32_t>();
  for (size_t i = 0; i < nats.size(); ++i) {
    const TermWeights weights = term_weights(schedule, variance, steps[i]);
    nats[i] = weights.nats_per_number * numbers_per_example(x_0) + weights.error_weight * nats[i];
  }
  return nats;
}

std::vector<double> ddpm_bound_nats(const NoisePredictor& predict, const NoiseSchedule& schedule,
                                    ReverseVariance variance, const Tensor& x_0, Generator& generator) {
  const Tensor t = spread_steps(x_0.size(0), schedule, generator);
  std::vector<double> nats = ddpm_prior_nats(schedule, x_0);
  const std::vector<double> terms = ddpm_term_nats(predict, schedule, variance, x_0, t, generator);
  for (size_t i = 0; i < nats.size(); ++i) nats[i] += schedule.steps() * terms[i];
  return nats;
}

Samples ddpm_sample(const NoisePredictor& predict, const NoiseSchedule& schedule, ReverseVariance variance,
                    int64_t count, const Shape& shape, const SampleObserver& observer, Generator& generator) {
  Shape batch{count};
  for (int axis = 0; axis < shape.rank(); ++axis) batch.append(shape[axis]);
  const int steps = schedule.steps();
  const GaussianDenoiser denoise = [&](const Tensor& x, const NoiseLevel& level) {
    const auto t = static_cast<double>(std::lround(level.time * steps));
    const Tensor epsilon = predict(x, full({count}, t, Dtype::int32)).value();
    return denoised_from(Parameterisation::epsilon, epsilon, x, level);
  };
  const NoiseSource noise = example_noise(count, generator);
  const std::vector<NoiseLevel> levels = strided_levels(schedule, steps);
  const auto observe = [&](size_t i, const Tensor& x) {
    if (!observer) return;
    observer({.step = static_cast<int64_t>(i),
              .steps = steps,
              .values = &x,
              .time = std::vector<double>(static_cast<size_t>(count), levels[i].time)});
  };
  const Tensor start = noise(batch, Dtype::float32);  // x_T
  const Tensor x_0 = ancestral_sample(denoise, levels, variance, start, noise, observe);
  return {.values = x_0, .network_calls = count * steps};
}

}  // namespace haze
