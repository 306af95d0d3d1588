#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <span>
#include <vector>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

/// Data whose optimal denoiser is a formula: one Gaussian, for which a sampler's step is affine in x and the
/// noise, so that mean and covariance go through it without any sampling noise. All in float64.
namespace haze::diffusion_test {

/// d x d, row after row; d is 1 or 2.
using Matrix = std::vector<double>;

inline size_t dimension(const Matrix& a) {
  return a.size() == 1 ? 1 : 2;
}

inline Matrix product(const Matrix& a, const Matrix& b) {
  if (dimension(a) == 1) return {a[0] * b[0]};
  return {a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2],
          a[2] * b[1] + a[3] * b[3]};
}

inline Matrix transposed(const Matrix& a) {
  return dimension(a) == 1 ? a : Matrix{a[0], a[2], a[1], a[3]};
}

inline Matrix inverse(const Matrix& a) {
  if (dimension(a) == 1) return {1 / a[0]};
  const double determinant = a[0] * a[3] - a[1] * a[2];
  return {a[3] / determinant, -a[1] / determinant, -a[2] / determinant, a[0] / determinant};
}

/// a x + b y.
inline std::vector<double> sum_of(double a, const std::vector<double>& x, double b,
                                  const std::vector<double>& y) {
  std::vector<double> result(x.size());
  for (size_t i = 0; i < x.size(); ++i) result[i] = a * x[i] + b * y[i];
  return result;
}

inline std::vector<double> applied(const Matrix& a, const std::vector<double>& x) {
  if (dimension(a) == 1) return {a[0] * x[0]};
  return {a[0] * x[0] + a[1] * x[1], a[2] * x[0] + a[3] * x[1]};
}

inline Matrix identity(size_t d) {
  return d == 1 ? Matrix{1} : Matrix{1, 0, 0, 1};
}

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

struct Moments {
  std::vector<double> mean;
  Matrix covariance;
};

inline double largest_difference(const Moments& a, const Moments& b) {
  return std::max(largest_difference(a.mean, b.mean), largest_difference(a.covariance, b.covariance));
}

/// N(mean, U diag(variances) U^T), where the columns of U are `axes`.
struct GaussianData {
  std::vector<double> mean;
  std::vector<double> variances;
  Matrix axes;

  size_t dimension() const { return mean.size(); }
  /// U diag(f(variance)) U^T.
  Matrix function(const std::function<double(double)>& f) const {
    Matrix diagonal = identity(dimension());
    for (size_t i = 0; i < dimension(); ++i) diagonal[i * dimension() + i] = f(variances[i]);
    return product(product(axes, diagonal), transposed(axes));
  }
  Matrix covariance() const {
    return function([](double d) { return d; });
  }
  /// The mean and covariance of x at a level.
  Moments at(const NoiseLevel& level) const {
    return {sum_of(level.alpha, mean, 0, mean), sum_of(level.alpha * level.alpha, covariance(),
                                                       level.sigma * level.sigma, identity(dimension()))};
  }
};

inline GaussianData line_data() {
  return {.mean = {0.7}, .variances = {0.25}, .axes = {1}};
}

/// The axes of its covariance are turned by 0.6.
inline GaussianData plane_data() {
  return {.mean = {0.7, -0.4},
          .variances = {1.5, 0.3},
          .axes = {std::cos(0.6), -std::sin(0.6), std::sin(0.6), std::cos(0.6)}};
}

/// matrix x + offset, of each row of x.
inline Tensor affine(const Matrix& matrix, const std::vector<double>& offset, const Tensor& x) {
  std::vector<double> values = x.to_vector<double>();
  if (dimension(matrix) == 1) {
    for (double& value : values) value = matrix[0] * value + offset[0];
  } else {
    for (size_t i = 0; i < values.size(); i += 2) {
      const double a = values[i], b = values[i + 1];
      values[i] = matrix[0] * a + matrix[1] * b + offset[0];
      values[i + 1] = matrix[2] * a + matrix[3] * b + offset[1];
    }
  }
  return Tensor::from(values, x.shape());
}

/// E[x_0 | x] and E[epsilon | x], by the inverse of x's covariance.
inline GaussianDenoiser optimal_denoiser(const GaussianData& data) {
  return [data](const Tensor& x, const NoiseLevel& level) {
    const Moments here = data.at(level);
    const Matrix whitening = inverse(here.covariance), gain = product(data.covariance(), whitening);
    // factor * matrix (x - E[x]) + constant
    const auto of_centred = [&](double factor, const Matrix& matrix, const std::vector<double>& constant) {
      const Matrix scaled = sum_of(factor, matrix, 0, matrix);
      return affine(scaled, sum_of(1, constant, -1, applied(scaled, here.mean)), x);
    };
    return Denoised{.x_0 = of_centred(level.alpha, gain, data.mean),
                    .epsilon = of_centred(level.sigma, whitening, std::vector<double>(data.dimension())),
                    .variance_share = {}};
  };
}

using Levels = std::vector<NoiseLevel>;
using TestedSampler =
    std::function<Tensor(const GaussianDenoiser&, const Levels&, const Tensor& x, const NoiseSource&)>;

/// A sampler as a whole, where its denoiser is linear: result = matrix x + offset + noise of `covariance`.
struct AffineMap {
  Matrix matrix;
  std::vector<double> offset;
  Matrix covariance;
  size_t draws = 0;  // calls of the noise source

  Moments operator()(const Moments& start) const {
    return {sum_of(1, applied(matrix, start.mean), 1, offset),
            sum_of(1, product(product(matrix, start.covariance), transposed(matrix)), 1, covariance)};
  }
};

/// Found by one run over a batch: of zeros; of each unit vector as x; and of each unit vector as the noise of
/// one draw, all else being 0.
inline AffineMap affine_map(const TestedSampler& sample, const GaussianDenoiser& denoise,
                            const Levels& levels, size_t d) {
  const size_t most_draws = levels.size();
  const size_t rows = 1 + d + most_draws * d;
  std::vector<double> x(rows * d);
  for (size_t j = 0; j < d; ++j) x[(1 + j) * d + j] = 1;
  AffineMap map;
  const NoiseSource impulses = [&](const Shape& shape, Dtype) {
    std::vector<double> noise(rows * d);
    const size_t first = 1 + d + map.draws++ * d;
    for (size_t j = 0; j < d; ++j) noise.at((first + j) * d + j) = 1;
    return Tensor::from(noise, shape);
  };
  const Shape shape{static_cast<int64_t>(rows), static_cast<int64_t>(d)};
  const std::vector<double> result =
      sample(denoise, levels, Tensor::from(x, shape), impulses).to_vector<double>();
  const auto response = [&](size_t row, size_t k) { return result[row * d + k] - result[k]; };
  map.offset.assign(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(d));
  map.matrix.resize(d * d);
  map.covariance.resize(d * d);
  for (size_t j = 0; j < d; ++j)
    for (size_t k = 0; k < d; ++k) map.matrix[k * d + j] = response(1 + j, k);
  for (size_t row = 1 + d; row < rows; ++row)
    for (size_t k = 0; k < d; ++k)
      for (size_t l = 0; l < d; ++l) map.covariance[k * d + l] += response(row, k) * response(row, l);
  return map;
}

/// The probability flow from one level to another: (x / alpha - mean) grows as its standard deviation does,
/// sqrt(variance + (sigma / alpha)^2) along each axis.
inline AffineMap exact_flow(const GaussianData& data, const NoiseLevel& from, const NoiseLevel& to) {
  const auto deviation = [](double variance, const NoiseLevel& level) {
    return std::sqrt(level.alpha * level.alpha * variance + level.sigma * level.sigma);
  };
  AffineMap map;
  map.matrix =
      data.function([&](double variance) { return deviation(variance, to) / deviation(variance, from); });
  map.offset = sum_of(to.alpha, data.mean, -from.alpha, applied(map.matrix, data.mean));
  map.covariance = Matrix(map.matrix.size());
  return map;
}

/// Of a sampler that draws nothing, against the flow.
inline double flow_error(const TestedSampler& sample, const GaussianData& data, const Levels& levels) {
  const AffineMap found = affine_map(sample, optimal_denoiser(data), levels, data.dimension());
  const AffineMap exact = exact_flow(data, levels.front(), levels.back());
  return std::max(largest_difference(found.matrix, exact.matrix),
                  largest_difference(found.offset, exact.offset));
}

/// Of the mean and covariance at the last level, where those at the first are exact.
inline double moment_error(const TestedSampler& sample, const GaussianData& data, const Levels& levels) {
  const AffineMap found = affine_map(sample, optimal_denoiser(data), levels, data.dimension());
  return largest_difference(found(data.at(levels.front())), data.at(levels.back()));
}

/// Variance exploding: alpha = 1, sigma = 10 (1 - i / n)^7, of Karras et al. 2022, equation 5, down to data.
inline Levels exploding_levels(int n) {
  Levels levels;
  for (int i = 0; i <= n; ++i) {
    const double left = 1 - static_cast<double>(i) / n;
    levels.push_back({.alpha = 1, .sigma = 10 * std::pow(left, 7), .time = left});
  }
  return levels;
}

/// Variance preserving, evenly spaced in lambda = log(alpha / sigma), from -3 to 3: the last is not data.
inline Levels even_log_snr_levels(int n) {
  Levels levels;
  for (int i = 0; i <= n; ++i) {
    const double lambda = -3 + 6.0 * i / n;
    levels.push_back({.alpha = 1 / std::sqrt(1 + std::exp(-2 * lambda)),
                      .sigma = 1 / std::sqrt(1 + std::exp(2 * lambda)),
                      .time = 1 - static_cast<double>(i) / n});
  }
  return levels;
}

/// Variance preserving, alpha = cos, sigma = sin of an angle that falls evenly to 0, data.
inline Levels even_angle_levels(int n) {
  Levels levels;
  for (int i = 0; i <= n; ++i) {
    const double left = 1 - static_cast<double>(i) / n;
    levels.push_back({.alpha = std::cos(1.5 * left), .sigma = std::sin(1.5 * left), .time = left});
  }
  return levels;
}

/// Neither: alpha^2 + sigma^2 < 1, that of sub-VP (Song et al. 2021), down to data.
inline Levels sub_vp_levels(int n) {
  Levels levels;
  for (int i = 0; i <= n; ++i) {
    const double left = 1 - static_cast<double>(i) / n, alpha = std::exp(-3 * left * left);
    levels.push_back({.alpha = alpha, .sigma = 1 - alpha * alpha, .time = left});
  }
  return levels;
}

/// The mean and covariance that a chain along each axis has, from those of N(0, I): `axis` takes a variance
/// of the data and gives the factor of x_T - alpha_T mean and the variance that the chain adds.
inline Moments chain_moments(const GaussianData& data, double alpha_T,
                             const std::function<std::pair<double, double>(double variance)>& axis) {
  const Matrix factor = data.function([&](double d) { return axis(d).first; });
  return {sum_of(1, data.mean, -alpha_T, applied(factor, data.mean)), data.function([&](double d) {
            const auto [gain, added] = axis(d);
            return gain * gain + added;
          })};
}

/// Drawn for the whole batch at once, which is faster than example_noise(). The generator must outlive it.
inline NoiseSource batch_noise(Generator& generator) {
  return [&generator](const Shape& shape, Dtype dtype) { return normal(shape, generator, 0, 1, dtype); };
}

inline Moments standard_normal(size_t d) {
  return {std::vector<double>(d), identity(d)};
}

}  // namespace haze::diffusion_test
