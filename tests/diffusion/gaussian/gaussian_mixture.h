#pragma once

#include "diffusion/gaussian/gaussian_data.h"

/// Data of several modes, whose optimal denoiser and classifier are formulas.
namespace haze::diffusion_test {

using Point = std::array<double, 2>;

/// Equally likely normal distributions N(means[k], variance I) of the plane, at most eight; k is the label y.
struct GaussianMixture {
  std::vector<Point> means;
  double variance;

  /// The variance of x given y at a level.
  double variance_at(const NoiseLevel& level) const {
    return level.alpha * level.alpha * variance + level.sigma * level.sigma;
  }
  /// p(y | x) at a level.
  std::array<double, 8> label_probabilities(const Point& x, const NoiseLevel& level) const {
    std::array<double, 8> result{};
    double largest = -HUGE_VAL, sum = 0;
    for (size_t k = 0; k < means.size(); ++k) {
      const double a = x[0] - level.alpha * means[k][0], b = x[1] - level.alpha * means[k][1];
      result[k] = -(a * a + b * b) / (2 * variance_at(level));
      largest = std::max(largest, result[k]);
    }
    for (size_t k = 0; k < means.size(); ++k) sum += result[k] = std::exp(result[k] - largest);
    for (double& value : result) value /= sum;
    return result;
  }
  /// The mean of means[k] over p(y = k | x).
  Point expected_mean(const Point& x, const NoiseLevel& level) const {
    const std::array<double, 8> probabilities = label_probabilities(x, level);
    Point mean{};
    for (size_t k = 0; k < means.size(); ++k)
      for (size_t j = 0; j < 2; ++j) mean[j] += probabilities[k] * means[k][j];
    return mean;
  }
};

/// Means on a circle of radius 2 and standard deviation 0.2, label 0 on the first axis.
inline GaussianMixture eight_gaussians() {
  GaussianMixture mixture{.means = {}, .variance = 0.04};
  for (int k = 0; k < 8; ++k)
    mixture.means.push_back({2 * std::cos(2 * M_PI * k / 8), 2 * std::sin(2 * M_PI * k / 8)});
  return mixture;
}

/// function(point) of each row of x, [n, 2].
inline Tensor by_point(const Tensor& x, const std::function<Point(const Point&)>& function) {
  std::vector<double> values = x.to_vector<double>();
  for (size_t i = 0; i < values.size(); i += 2) {
    const Point result = function({values[i], values[i + 1]});
    values[i] = result[0];
    values[i + 1] = result[1];
  }
  return Tensor::from(values, x.shape());
}

inline GaussianDenoiser optimal_denoiser(const GaussianMixture& mixture) {
  return [mixture](const Tensor& x, const NoiseLevel& level) {
    const double gain = level.alpha * mixture.variance / mixture.variance_at(level);
    const Tensor x_0 = by_point(x, [&](const Point& point) {
      const Point mean = mixture.expected_mean(point, level);
      return Point{mean[0] + gain * (point[0] - level.alpha * mean[0]),
                   mean[1] + gain * (point[1] - level.alpha * mean[1])};
    });
    return denoised_from(Parameterisation::x_0, x_0, x, level);
  };
}

/// Points of the mixture, [count, 2].
inline Tensor draw_from(const GaussianMixture& mixture, int64_t count, Generator& generator) {
  const Tensor noise = normal({count, 2}, generator, 0, std::sqrt(mixture.variance), Dtype::float64);
  const std::vector<double> uniforms = uniform({count}, generator, 0, 1, Dtype::float64).to_vector<double>();
  size_t i = 0;
  return by_point(noise, [&](const Point& point) {
    const auto labels = static_cast<double>(mixture.means.size());
    const Point& mean = mixture.means[static_cast<size_t>(uniforms[i++] * labels)];
    return Point{mean[0] + point[0], mean[1] + point[1]};
  });
}

inline double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

}  // namespace haze::diffusion_test
