#include "haze/diffusion/gaussian/score_sde.h"

#include <cmath>

#include "haze/diffusion/gaussian/per_example.h"
#include "haze/diffusion/random_times.h"

namespace haze {
namespace {

// f(t) of each example, to be broadcast to x.
template <typename F>
Tensor at_times(std::span<const double> times, const Tensor& x, F f) {
  std::vector<double> numbers;
  for (double t : times) numbers.push_back(f(t));
  return per_example(numbers, x);
}

}  // namespace

std::vector<double> draw_times(const Sde& sde, TimeWeighting weighting, int64_t count, Generator& generator) {
  std::vector<double> times = draw_uniforms(count, /*antithetic=*/true, generator);
  for (double& t : times) {
    t = weighting == TimeWeighting::noise ? kLikelihoodStart + t * (1 - kLikelihoodStart)
                                          : time_at_noise_share(sde, kLikelihoodStart, t);
  }
  return times;
}

NoisyAtTimes add_sde_noise(const Sde& sde, const Tensor& x_0, std::vector<double> times,
                           Generator& generator) {
  if (std::ssize(times) != x_0.size(0))
    fail("add_sde_noise: {} times for {} examples", times.size(), x_0.size(0));
  NoisyAtTimes noisy;
  noisy.noise = normal(x_0.shape(), generator, 0, 1, x_0.dtype(), x_0.device());
  const Tensor alpha = at_times(times, x_0, [&](double t) { return sde_level(sde, t).alpha; });
  const Tensor sigma = at_times(times, x_0, [&](double t) { return sde_level(sde, t).sigma; });
  noisy.x_t = add(multiply(alpha, x_0), multiply(sigma, noisy.noise));
  noisy.times = std::move(times);
  return noisy;
}

Variable score_matching_loss(const ContinuousNoisePredictor& predict, const NoisyAtTimes& noisy) {
  return mean(square(predict(noisy.x_t, noisy.times) - Variable(noisy.noise)));
}

ContinuousNoisePredictor preconditioned(TimedFunction network, const Sde& sde) {
  return [network = std::move(network), sde](const Variable& x, std::span<const double> times) {
    const auto scale_of = [](const NoiseLevel& level) { return std::hypot(level.alpha, level.sigma); };
    const auto factor = [&](auto of_level) {
      return Variable(at_times(times, x.value(), [&](double t) {
        const NoiseLevel level = sde_level(sde, t);
        return of_level(level, scale_of(level));
      }));
    };
    const std::vector<float> rounded(times.begin(), times.end());
    const Tensor t = Tensor::from(rounded, {std::ssize(rounded)}, x.device());
    const Variable scaled = x * factor([](const NoiseLevel&, double s) { return 1 / s; });
    const Variable output = network(scaled, t);
    return scaled * factor([](const NoiseLevel& level, double s) { return level.sigma / s; }) +
           output * factor([](const NoiseLevel& level, double s) { return level.alpha / s; });
  };
}

ContinuousNoisePredictor with_clipped_data(ContinuousNoisePredictor predict, const Sde& sde, double low,
                                           double high) {
  return [=, predict = std::move(predict)](const Variable& x, std::span<const double> times) -> Variable {
    const auto scale = [&](auto f) {
      return Variable(at_times(times, x.value(), [&](double t) { return f(sde_level(sde, t)); }));
    };
    const Variable epsilon = predict(x, times);
    const Variable x_0 = scale([](const NoiseLevel& level) { return 1 / level.alpha; }) * x -
                         scale([](const NoiseLevel& level) { return level.sigma / level.alpha; }) * epsilon;
    const Variable outside = x_0 - unary(UnaryOp::clamp, x_0, low, high);
    return epsilon + scale([](const NoiseLevel& level) { return level.alpha / level.sigma; }) * outside;
  };
}

Tensor dequantised(const Tensor& x_0, int64_t levels, Generator& generator) {
  const double half_bin = std::exp(-dequantisation_nats(levels)) / 2;
  return add(x_0, uniform(x_0.shape(), generator, -half_bin, half_bin, x_0.dtype(), x_0.device()));
}

double dequantisation_nats(int64_t levels) {
  if (levels < 2) fail("dequantisation: {} levels; at least 2 are needed", levels);
  return std::log(static_cast<double>(levels - 1) / 2);
}

}  // namespace haze
