#include "haze/tools/tasks/frechet_distance.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/tools/tasks/symmetric_eigen.h"

#include "error_of.h"
#include "sample_sets.h"

using namespace haze;
using namespace haze::testing;

namespace {

// a b with a transposed where asked.
std::vector<double> product(const std::vector<double>& a, bool transposed, const std::vector<double>& b,
                            size_t n) {
  std::vector<double> result(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t k = 0; k < n; ++k)
        result[i * n + j] += (transposed ? a[k * n + i] : a[i * n + k]) * b[k * n + j];
    }
  }
  return result;
}

/// A covariance of full rank.
std::vector<double> covariance(int64_t n, uint64_t seed) {
  return fit_gaussian(normal_set(3 * n, n, seed)).covariance;
}

}  // namespace

TEST_CASE("the eigenvectors are orthonormal and give the matrix back") {
  for (const int64_t n : {1, 2, 3, 17, 40}) {
    const auto size = static_cast<size_t>(n);
    const std::vector<double> matrix = covariance(n, 3);
    const SymmetricEigen eigen = symmetric_eigen(matrix, n);
    std::vector<double> scaled = eigen.vectors, identity = product(eigen.vectors, true, eigen.vectors, size);
    for (size_t i = 0; i < size * size; ++i) scaled[i] *= eigen.values[i % size];
    std::vector<double> transposed(size * size);
    for (size_t i = 0; i < size * size; ++i) transposed[i] = eigen.vectors[i % size * size + i / size];
    const std::vector<double> back = product(scaled, false, transposed, size);
    for (size_t i = 0; i < size * size; ++i) {
      CHECK(std::abs(identity[i] - (i % (size + 1) == 0 ? 1.0 : 0.0)) < 1e-13);
      CHECK(std::abs(back[i] - matrix[i]) < 1e-13 * static_cast<double>(n));
    }
  }
}

TEST_CASE("eigenvalues of the second-difference matrix are 2 - 2 cos(pi k / (n + 1))") {
  constexpr int64_t kSize = 12;
  std::vector<double> matrix(kSize * kSize);
  for (size_t i = 0; i < kSize; ++i) {
    matrix[i * kSize + i] = 2;
    if (i + 1 < kSize) matrix[i * kSize + i + 1] = -1;  // the upper triangle is enough
  }
  std::vector<double> values = symmetric_eigen(matrix, kSize).values;
  std::sort(values.begin(), values.end());
  for (int64_t k = 1; k <= kSize; ++k) {
    const double expected = 2 - 2 * std::cos(std::numbers::pi * static_cast<double>(k) / (kSize + 1));
    CHECK(values[static_cast<size_t>(k - 1)] == doctest::Approx(expected).epsilon(1e-13));
  }
}

TEST_CASE("a fitted Gaussian has the mean and the covariance worked out by hand") {
  const Gaussian fitted = fit_gaussian({3, 2, {0, 1, 2, 1, 4, 7}});
  CHECK(fitted.mean[0] == doctest::Approx(2));
  CHECK(fitted.mean[1] == doctest::Approx(3));
  CHECK(fitted.covariance[0] == doctest::Approx(4));
  CHECK(fitted.covariance[1] == doctest::Approx(6));
  CHECK(fitted.covariance[2] == doctest::Approx(6));
  CHECK(fitted.covariance[3] == doctest::Approx(12));
}

TEST_CASE("the Frechet distance of diagonal Gaussians is |m|^2 and the squared differences of deviations") {
  const Gaussian a{{1, 2, 3}, {4, 0, 0, 0, 9, 0, 0, 0, 0}}, b{{1, 0, 3.5}, {1, 0, 0, 0, 16, 0, 0, 0, 0.25}};
  CHECK(frechet_distance(a, b) == doctest::Approx(4 + 0.25 + 1 + 1 + 0.25).epsilon(1e-14));
  CHECK(std::abs(frechet_distance(a, a)) < 1e-12);
}

TEST_CASE("the Frechet distance of covariances that commute is that of their eigenvalues") {
  constexpr size_t kSize = 6;
  const std::vector<double> a = covariance(kSize, 8);
  std::vector<double> b = product(a, false, a, kSize);
  for (size_t i = 0; i < kSize; ++i) b[i * kSize + i] += 0.5;  // b = a^2 + I / 2
  double expected = 0;
  for (const double value : symmetric_eigen(a, kSize).values) {
    const double difference = std::sqrt(value) - std::sqrt(value * value + 0.5);
    expected += difference * difference;
  }
  const std::vector<double> mean(kSize);
  CHECK(frechet_distance({mean, a}, {mean, b}) == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("the Frechet distance of 2 x 2 covariances has tr (A B)^(1/2) = sqrt(tr A B + 2 sqrt(det A B))") {
  const std::vector<double> a{2, 0.7, 0.7, 0.5}, b{1, -0.4, -0.4, 3};
  const std::vector<double> ab = product(a, false, b, 2);
  const double root = std::sqrt(ab[0] + ab[3] + 2 * std::sqrt(ab[0] * ab[3] - ab[1] * ab[2]));
  CHECK(frechet_distance({{0, 0}, a}, {{0, 0}, b}) == doctest::Approx(2.5 + 4 - 2 * root).epsilon(1e-13));
}

TEST_CASE("the Frechet distance is symmetric, also where a covariance has no full rank") {
  const Gaussian a = fit_gaussian(normal_set(5, 12, 1)), b = fit_gaussian(normal_set(60, 12, 2));
  CHECK(frechet_distance(a, b) == doctest::Approx(frechet_distance(b, a)).epsilon(1e-9));
  CHECK(frechet_distance(a, b) > 0);
  CHECK(std::abs(frechet_distance(a, a)) < 1e-9);
}

TEST_CASE("Gaussians that cannot be fitted or compared are refused") {
  CHECK(error_of([] { fit_gaussian({1, 2, {0, 0}}); }) == "a covariance needs at least two examples");
  CHECK(error_of([] {
          frechet_distance({{0}, {1}}, {{0, 0}, {1, 0, 0, 1}});
        }) == "normal distributions of 1 and 2 dimensions have no distance");
  CHECK(error_of([] {
          symmetric_eigen(std::vector<double>{1, 2, 3}, 2);
        }) == "3 numbers are no 2 x 2 matrix");
  CHECK(error_of([] { symmetric_eigen(std::vector<double>{std::numeric_limits<double>::infinity()}, 1); }) ==
        "a matrix with a number that is not finite has no eigenvalues");
}
