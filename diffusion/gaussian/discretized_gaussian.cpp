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

void check_levels(int64_t levels) {
  if (levels < 2) fail("discretized_gaussian: {} levels; at least 2 are needed", levels);
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
  check_levels(levels);
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

/// x where the condition holds, elsewhere y.
Tensor choose(const Tensor& condition, double x, double y) {
  const auto number = [&](double value) { return full({}, value, Dtype::float64, condition.device()); };
  return where(condition, number(x), number(y));
}

/// The bins of numbers x: constants shaped as x.
struct Bins {
  Tensor level;        // float64
  Tensor first, last;  // uint8: open below, open above
};

Bins bins_of(const Tensor& x, double half_bin) {
  const auto number = [&](double value) { return full({}, value, Dtype::float64, x.device()); };
  const Tensor steps = scale_shift(cast(x, Dtype::float64), 0.5 / half_bin, 0.5 / half_bin);
  const Tensor level = scale_shift(unary(UnaryOp::round, steps), 2 * half_bin, -1);
  return {level, compare(CompareOp::less_equal, level, number(half_bin - 1)),
          compare(CompareOp::greater_equal, level, number(1 - half_bin))};
}

/// erfcx(y / sqrt(2)).
Variable scaled_tail(const Variable& y) {
  return unary(UnaryOp::erfcx, y * (1 / std::numbers::sqrt2));
}

// log p from the edges of the bins in standard deviations. `near` is how far the near edge lies from the
// mean, negative where the mean is inside the bin. `far` is how far the far edge does, where there is one:
// two_edges is 1 there and 0 in an open bin. ratio = e^((near^2 - far^2) / 2).
//
// With E(y) = erfcx(y / sqrt(2)), N(0, 1) has the mass e^(-y^2/2) E(y) / 2 above y >= 0. So
//   outside:     p = e^(-near^2/2) half,  half = (E(near) - ratio E(far)) / 2
//   inside:  1 - p = e^(-near^2/2) half,  half = (E(-near) + ratio E(far)) / 2
// Both are finite everywhere: the gradient of the one not taken is 0, never NaN.
Variable log_probability(const Variable& near, const Variable& far, const Variable& ratio,
                         const Tensor& two_edges) {
  const Tensor inside = compare(CompareOp::less, near.value(), zeros({}, Dtype::float64, near.device()));
  const Tensor sign = choose(inside, 1, -1);
  const Variable half =
      (scaled_tail(near * -Variable(sign)) + scaled_tail(far) * ratio * multiply(sign, two_edges)) * 0.5;
  const Variable exponent = square(near) * -0.5;
  return where(inside, unary(UnaryOp::log1p, -(exp(exponent) * half)), log(half) + exponent);
}

}  // namespace

Variable discretized_gaussian_nats(const Tensor& x, const Variable& mean, const Variable& log_variance,
                                   int64_t levels) {
  check_levels(levels);
  if (!(mean.shape() == x.shape())) {
    fail("discretized_gaussian: the mean has shape {}, x {}", mean.shape().to_string(),
         x.shape().to_string());
  }
  const double half_bin = 1 / static_cast<double>(levels - 1);
  const Bins bins = bins_of(x, half_bin);
  const Variable offset = Variable(bins.level) - cast(mean, Dtype::float64);
  const Variable rate = expand(exp(cast(log_variance, Dtype::float64) * -0.5), x.shape());  // 1 / deviation

  // The distance of the level from the mean; of an open bin, negative on its open side.
  const Tensor above =
      compare(CompareOp::greater_equal, offset.value(), zeros({}, Dtype::float64, x.device()));
  const Tensor upwards = logical_and(logical_or(above, bins.last), logical_not(bins.first));
  const Variable distance = offset * choose(upwards, 1, -1);
  const Tensor two_edges = choose(logical_or(bins.first, bins.last), 0, 1);
  const Variable closed = distance * two_edges;  // of an open bin, 0: what has no meaning stays finite
  const Variable ratio = exp(closed * square(rate) * (-2 * half_bin));
  const Variable log_p =
      log_probability((distance - half_bin) * rate, (closed + half_bin) * rate, ratio, two_edges);
  return cast(-log_p, x.dtype());
}

}  // namespace haze
