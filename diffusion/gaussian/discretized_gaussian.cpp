#include "haze/diffusion/gaussian/discretized_gaussian.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "haze/autograd/rules.h"
#include "haze/engine/cpu/parallel.h"

namespace haze {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double log_normal_density(double z) {
  return -0.5 * (z * z + std::log(2 * std::numbers::pi));
}

// 1 - Phi(z).
double normal_above(double z) {
  return 0.5 * std::erfc(z / std::numbers::sqrt2);
}

// log Phi(z), z <= 0.
double log_normal_below(double z) {
  constexpr double kFar = -10;  // erfc underflows at -38
  if (z > kFar) return std::log(normal_above(-z));
  // Mills' ratio as Laplace's continued fraction 1 / (x + 1 / (x + 2 / (x + ...))): 20 terms give all digits
  // from x = 10 on.
  double denominator = -z;
  for (int k = 20; k >= 1; --k) denominator = -z + k / denominator;
  return log_normal_density(z) - std::log(denominator);
}

}  // namespace

double log_normal_interval(double low, double high) {
  if (low == -kInfinity && high == kInfinity) return 0;
  // The lower tail has the small numbers; the upper one is its mirror image.
  if (low + high > 0) return log_normal_interval(-high, -low);
  const double below_low = log_normal_below(low);
  double below_high;
  if (high > 0) {
    const double above = normal_above(high), outside = std::exp(below_low) + above;
    if (outside < 0.5) return std::log1p(-outside);
    below_high = std::log1p(-above);
  } else {
    below_high = log_normal_below(high);
  }
  return below_high + std::log(-std::expm1(below_low - below_high));
}

DiscretizedGaussian discretized_gaussian(double x, double mean, double log_variance, int64_t levels) {
  if (levels < 2) fail("discretized_gaussian: {} levels; at least 2 are needed", levels);
  const double half_bin = 1 / static_cast<double>(levels - 1), deviation = std::exp(0.5 * log_variance);
  const double level = 2 * half_bin * std::round((x + 1) / (2 * half_bin)) - 1;
  const bool first = level <= half_bin - 1, last = level >= 1 - half_bin;
  const double low = first ? -kInfinity : (level - half_bin - mean) / deviation;
  const double high = last ? kInfinity : (level + half_bin - mean) / deviation;
  const double log_p = log_normal_interval(low, high);
  // The density at the ends of the bin, relative to its probability; 0 at an open end.
  const double at_low = first ? 0 : std::exp(log_normal_density(low) - log_p);
  const double at_high = last ? 0 : std::exp(log_normal_density(high) - log_p);
  return {.nats = -log_p,
          .by_mean = (at_high - at_low) / deviation,
          .by_log_variance = 0.5 * ((last ? 0 : high * at_high) - (first ? 0 : low * at_low))};
}

namespace {

/// Of all numbers, shaped as x, in x's dtype and on its device. The host computes them.
struct NatsAndDerivatives {
  Tensor nats, by_mean, by_log_variance;
};

NatsAndDerivatives discretized_gaussians(const Tensor& x, const Tensor& mean, const Tensor& log_variance,
                                         int64_t levels) {
  const auto numbers = [](const Tensor& from) {
    return contiguous(to(cast(from, Dtype::float64), Device::cpu));
  };
  const Tensor values = numbers(x), means = numbers(mean), log_variances = numbers(log_variance);
  const Tensor nats(x.shape(), Dtype::float64), by_mean(x.shape(), Dtype::float64),
      by_log_variance(x.shape(), Dtype::float64);
  constexpr int64_t kGrain = 1024;
  parallel_for(x.elements(), kGrain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const DiscretizedGaussian of_number = discretized_gaussian(
          values.data<double>()[i], means.data<double>()[i], log_variances.data<double>()[i], levels);
      nats.data<double>()[i] = of_number.nats;
      by_mean.data<double>()[i] = of_number.by_mean;
      by_log_variance.data<double>()[i] = of_number.by_log_variance;
    }
  });
  const auto like_x = [&](const Tensor& result) { return to(cast(result, x.dtype()), x.device()); };
  return {like_x(nats), like_x(by_mean), like_x(by_log_variance)};
}

}  // namespace

Variable discretized_gaussian_nats(const Tensor& x, const Variable& mean, const Variable& log_variance,
                                   int64_t levels) {
  if (!(mean.shape() == x.shape())) {
    fail("discretized_gaussian: the mean has shape {}, x {}", mean.shape().to_string(),
         x.shape().to_string());
  }
  const Variable log_variances = expand(log_variance, x.shape());
  NatsAndDerivatives result = discretized_gaussians(x, mean.value(), log_variances.value(), levels);
  return Tape::record(
      "discretized_gaussian", std::move(result.nats), {mean, log_variances},
      [by_mean = kept_if(mean.requires_gradient(), result.by_mean),
       by_log_variance =
           kept_if(log_variances.requires_gradient(), result.by_log_variance)](const Variable& g) {
        refuse_second_derivative("discretized_gaussian");
        const auto times_g = [&](const Tensor& d) { return d.defined() ? multiply(g.value(), d) : Tensor(); };
        return Gradients{times_g(by_mean), times_g(by_log_variance)};
      });
}

}  // namespace haze
