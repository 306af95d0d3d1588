#include "haze/diffusion/gaussian/discretized_gaussian.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace haze {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double log_normal_density(double z) {
  return -0.5 * (z * z + std::log(2 * std::numbers::pi));
}

// log Phi(z).
double log_normal_below(double z) {
  if (z > 0) return std::log1p(-0.5 * std::erfc(z / std::numbers::sqrt2));
  constexpr double kFar = -10;  // erfc underflows at -38
  if (z > kFar) return std::log(0.5 * std::erfc(-z / std::numbers::sqrt2));
  // Mills' ratio as Laplace's continued fraction 1 / (x + 1 / (x + 2 / (x + ...))): 20 terms give all digits
  // from x = 10 on.
  double denominator = -z;
  for (int k = 20; k >= 1; --k) denominator = -z + k / denominator;
  return log_normal_density(z) - std::log(denominator);
}

}  // namespace

double log_normal_interval(double low, double high) {
  // The lower tail has the small numbers; the upper one is its mirror image.
  if (low + high > 0) return log_normal_interval(-high, -low);
  const double outside = std::exp(log_normal_below(low)) + std::exp(log_normal_below(-high));
  if (outside < 0.5) return std::log1p(-outside);
  const double below_high = log_normal_below(high);
  if (low == -kInfinity) return below_high;
  return below_high + std::log(-std::expm1(log_normal_below(low) - below_high));
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

Variable discretized_gaussian_nats(const Tensor& x, const Variable& mean, const Variable& log_variance,
                                   int64_t levels) {
  const std::vector<double> values = x.to_vector<double>(), means = mean.value().to_vector<double>(),
                            log_variances = expand(log_variance.value(), x.shape()).to_vector<double>();
  std::vector<double> nats, by_mean, by_log_variance;
  for (size_t i = 0; i < values.size(); ++i) {
    const DiscretizedGaussian of_number = discretized_gaussian(values[i], means[i], log_variances[i], levels);
    nats.push_back(of_number.nats);
    by_mean.push_back(of_number.by_mean);
    by_log_variance.push_back(of_number.by_log_variance);
  }
  const auto constant = [&](const std::vector<double>& numbers) {
    return Variable(cast(Tensor::from(numbers, x.shape()), x.dtype()));
  };
  // The tangent plane: its value and first derivatives here are those of the function.
  return constant(nats) + constant(by_mean) * (mean - mean.detach()) +
         constant(by_log_variance) * (log_variance - log_variance.detach());
}

}  // namespace haze
