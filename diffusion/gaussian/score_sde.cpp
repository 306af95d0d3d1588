#include "haze/diffusion/gaussian/score_sde.h"

#include <cmath>

#include "haze/diffusion/random_times.h"

namespace haze {
namespace {

// Of every SDE with a linear drift, g^2 / sigma^2 dt = d log(sigma^2 / alpha^2): the likelihood's weighting
// is uniform in the log of the noise-to-signal ratio.
double log_noise_to_signal(const Sde& sde, double t) {
  const NoiseLevel level = sde_level(sde, t);
  return 2 * std::log(level.sigma / level.alpha);
}

// The time at which it has grown by the share `u` of all its growth from kLikelihoodStart to 1.
double likelihood_time(const Sde& sde, double u) {
  const double first = log_noise_to_signal(sde, kLikelihoodStart);
  const double wanted = first + u * (log_noise_to_signal(sde, 1) - first);
  double low = kLikelihoodStart, high = 1;
  for (int i = 0; i < 60; ++i) {  // halving an interval of length 1 until it is below float64's precision
    const double middle = 0.5 * (low + high);
    (log_noise_to_signal(sde, middle) < wanted ? low : high) = middle;
  }
  return high;
}

// One number for each example, in the shape that multiplies x [n, ...].
template <typename F>
Tensor per_example(std::span<const double> times, const Tensor& x, F of_time) {
  Shape shape{x.size(0)};
  for (int axis = 1; axis < x.rank(); ++axis) shape.append(1);
  std::vector<double> numbers;
  for (double t : times) numbers.push_back(of_time(t));
  return cast(Tensor::from(numbers, shape), x.dtype());
}

}  // namespace

std::vector<double> draw_times(const Sde& sde, TimeWeighting weighting, int64_t count, Generator& generator) {
  std::vector<double> times = draw_uniforms(count, /*antithetic=*/true, generator);
  for (double& t : times) {
    t = weighting == TimeWeighting::noise ? kLikelihoodStart + t * (1 - kLikelihoodStart)
                                          : likelihood_time(sde, t);
  }
  return times;
}

NoisyAtTimes add_sde_noise(const Sde& sde, const Tensor& x_0, std::vector<double> times,
                           Generator& generator) {
  if (std::ssize(times) != x_0.size(0))
    fail("add_sde_noise: {} times for {} examples", times.size(), x_0.size(0));
  NoisyAtTimes noisy;
  noisy.noise = normal(x_0.shape(), generator, 0, 1, x_0.dtype());
  const Tensor alpha = per_example(times, x_0, [&](double t) { return sde_level(sde, t).alpha; });
  const Tensor sigma = per_example(times, x_0, [&](double t) { return sde_level(sde, t).sigma; });
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
      return Variable(per_example(times, x.value(), [&](double t) {
        const NoiseLevel level = sde_level(sde, t);
        return of_level(level, scale_of(level));
      }));
    };
    const std::vector<float> rounded(times.begin(), times.end());
    const Tensor t = Tensor::from(rounded, {std::ssize(rounded)});
    const Variable scaled = x * factor([](const NoiseLevel&, double s) { return 1 / s; });
    const Variable output = network(scaled, t);
    return scaled * factor([](const NoiseLevel& level, double s) { return level.sigma / s; }) +
           output * factor([](const NoiseLevel& level, double s) { return level.alpha / s; });
  };
}

}  // namespace haze
