#pragma once

#include <cmath>
#include <vector>

#include "haze/diffusion/model.h"

/// Eight equally likely normal distributions of standard deviation 0.15 whose means lie evenly on a circle of
/// radius 1.5, which models of points are trained on in tests.
namespace haze::diffusion_test {

constexpr double kCircleRadius = 1.5, kModeDeviation = 0.15;

inline Tensor draw_eight_gaussians(int64_t count, Generator& generator) {
  const std::vector<double> noise = normal({count, 2}, generator, 0, kModeDeviation).to_vector<double>();
  std::vector<float> points;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const double angle = M_PI / 4 * static_cast<double>(generator.below(8));
    points.push_back(static_cast<float>(kCircleRadius * std::cos(angle) + noise[2 * i]));
    points.push_back(static_cast<float>(kCircleRadius * std::sin(angle) + noise[2 * i + 1]));
  }
  return Tensor::from(points, {count, 2});
}

/// In nats a point: 1.12. The eight hardly overlap.
inline double eight_gaussians_entropy() {
  return std::log(8) + std::log(2 * M_PI * M_E * kModeDeviation * kModeDeviation);
}

/// -E log p, in nats a point, of the single Gaussian that fits best, whose covariance is (radius^2 / 2 +
/// deviation^2) I: 2.99.
inline double single_gaussian_nats() {
  return std::log(2 * M_PI * M_E * (kCircleRadius * kCircleRadius / 2 + kModeDeviation * kModeDeviation));
}

/// For each of the eight the share of points within `deviations` standard deviations of its mean.
inline std::vector<double> shares_of_modes(const Tensor& values, double deviations = 3) {
  const std::vector<double> x = values.to_vector<double>();
  std::vector<double> shares(8);
  const double points = static_cast<double>(x.size()) / 2;
  for (size_t i = 0; i < x.size(); i += 2) {
    const long mode = std::lround(std::atan2(x[i + 1], x[i]) / (M_PI / 4));
    const double angle = M_PI / 4 * static_cast<double>(mode);
    const double distance =
        std::hypot(x[i] - kCircleRadius * std::cos(angle), x[i + 1] - kCircleRadius * std::sin(angle));
    if (distance < deviations * kModeDeviation) shares[static_cast<size_t>((mode + 8) % 8)] += 1 / points;
  }
  return shares;
}

inline Batch batch_of(const Tensor& values) {
  Batch batch;
  batch.values = values;
  return batch;
}

}  // namespace haze::diffusion_test
