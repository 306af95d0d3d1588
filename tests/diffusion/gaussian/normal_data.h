#pragma once

#include <array>
#include <cmath>
#include <vector>

#include "haze/diffusion/gaussian/probability_flow.h"

/// Data of one normal distribution of the plane, for which score, marginals and likelihood are known.
namespace haze::testing {

/// N(mean, R diag(variance) R^T), where R turns by `angle`.
struct NormalData {
  std::array<double, 2> mean = {0.4, -0.9};
  std::array<double, 2> variance = {0.8, 0.15};  // along the axes
  double angle = 0.6;

  /// [2, 2]: a row vector times it is turned into the axes.
  Tensor axes() const {
    const double c = std::cos(angle), s = std::sin(angle);
    return Tensor::from(std::vector<double>{c, -s, s, c}, {2, 2});
  }

  /// The variances of x(t) along the axes.
  std::array<double, 2> variance_at(const NoiseLevel& level) const {
    const double scale = level.alpha * level.alpha, noise = level.sigma * level.sigma;
    return {scale * variance[0] + noise, scale * variance[1] + noise};
  }

  /// -log p(x) of the density at a level.
  double nats(const NoiseLevel& level, double x, double y) const {
    const std::array<double, 2> at = variance_at(level);
    const double dx = x - level.alpha * mean[0], dy = y - level.alpha * mean[1];
    const double c = std::cos(angle), s = std::sin(angle);
    const double along = c * dx + s * dy, across = -s * dx + c * dy;
    return 0.5 * (along * along / at[0] + across * across / at[1]) + 0.5 * std::log(at[0] * at[1]) +
           std::log(2 * M_PI);
  }

  /// E[epsilon | x(t)] = sigma Cov(x(t))^{-1} (x - alpha mean), in float64.
  ContinuousNoisePredictor predictor(const Sde& sde) const {
    return [*this, sde](const Variable& x, std::span<const double> times) {
      const auto n = static_cast<int64_t>(times.size());
      std::vector<double> means, scales;
      for (double t : times) {
        const NoiseLevel level = sde_level(sde, t);
        for (size_t k = 0; k < 2; ++k) {
          means.push_back(level.alpha * mean[k]);
          scales.push_back(level.sigma / variance_at(level)[k]);
        }
      }
      const Variable turned = matmul(x - Variable(Tensor::from(means, {n, 2})), Variable(axes()));
      return matmul(turned * Variable(Tensor::from(scales, {n, 2})), Variable(transpose(axes())));
    };
  }
};

/// Mean and covariance of x after a sampler, without sampling noise: every step is linear in x and in the
/// noise, so the response to each single number of noise is enough. The start is the data at a level. `draws`
/// is the number of noise tensors, that of the start counted; `sample` is given the start and the source of
/// the others.
struct Moments {
  std::array<double, 2> mean;
  std::array<std::array<double, 2>, 2> covariance;
};
template <typename Sampler>
Moments propagated_moments(const NormalData& data, const NoiseLevel& level, int64_t draws, Sampler sample) {
  const int64_t n = 2 * draws + 1;  // the last example has no noise at all
  int64_t draw = 0;
  const NoiseSource impulse = [&](const Shape& shape, Dtype dtype) {
    const Tensor noise = zeros(shape, dtype);
    for (int64_t k = 0; k < 2; ++k)
      fill(slice(slice(noise, 0, 2 * draw + k, 2 * draw + k + 1), 1, k, k + 1), 1);
    ++draw;
    return noise;
  };
  const std::array<double, 2> at = data.variance_at(level);
  const Tensor deviations = Tensor::from(std::vector<double>{std::sqrt(at[0]), std::sqrt(at[1])}, {1, 2});
  const Tensor mean =
      Tensor::from(std::vector<double>{level.alpha * data.mean[0], level.alpha * data.mean[1]}, {1, 2});
  const Tensor spread = multiply(impulse({n, 2}, Dtype::float64), deviations);
  const Tensor start = add(matmul(spread, transpose(data.axes())), mean);
  const std::vector<double> x = sample(start, impulse).template to_vector<double>();
  if (draw != draws) fail("propagated_moments: the sampler draws {} times, not {}", draw, draws);
  Moments moments{{x[x.size() - 2], x[x.size() - 1]}, {}};
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    const std::array<double, 2> response = {x[2 * i] - moments.mean[0], x[2 * i + 1] - moments.mean[1]};
    for (size_t a = 0; a < 2; ++a) {
      for (size_t b = 0; b < 2; ++b) moments.covariance[a][b] += response[a] * response[b];
    }
  }
  return moments;
}

/// The largest difference of mean and covariance from those of the data at a level.
inline double moment_error(const Moments& moments, const NormalData& data, const NoiseLevel& level) {
  const std::array<double, 2> at = data.variance_at(level);
  const double c = std::cos(data.angle), s = std::sin(data.angle);
  const std::array<std::array<double, 2>, 2> covariance = {
      {{c * c * at[0] + s * s * at[1], c * s * (at[0] - at[1])},
       {c * s * (at[0] - at[1]), s * s * at[0] + c * c * at[1]}}};
  double largest = 0;
  for (size_t a = 0; a < 2; ++a) {
    largest = std::max(largest, std::abs(moments.mean[a] - level.alpha * data.mean[a]));
    for (size_t b = 0; b < 2; ++b)
      largest = std::max(largest, std::abs(moments.covariance[a][b] - covariance[a][b]));
  }
  return largest;
}

inline std::vector<Sde> all_sdes() {
  return {{.kind = SdeKind::variance_preserving},
          {.kind = SdeKind::sub_variance_preserving},
          {.kind = SdeKind::variance_exploding, .sigma_max = 20}};
}

}  // namespace haze::testing
