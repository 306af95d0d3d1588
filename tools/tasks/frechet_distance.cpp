#include "haze/tools/tasks/frechet_distance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/engine/error.h"
#include "haze/tools/tasks/symmetric_eigen.h"

namespace haze {
namespace {

// [n, n] x [n, n], row-major.
std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b, size_t n) {
  std::vector<double> result(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      for (size_t j = 0; j < n; ++j) result[i * n + j] += a[i * n + k] * b[k * n + j];
    }
  }
  return result;
}

/// The roots of eigenvalues that are not negative. Rounding turns those that are 0 into numbers of up to the
/// threshold, whose roots would be 1e-8 of the largest.
std::vector<double> roots_of(std::vector<double> eigenvalues) {
  const double largest = *std::max_element(eigenvalues.begin(), eigenvalues.end());
  const double threshold =
      static_cast<double>(eigenvalues.size()) * std::numeric_limits<double>::epsilon() * largest;
  for (double& value : eigenvalues) value = value > threshold ? std::sqrt(value) : 0;
  return eigenvalues;
}

/// A^(1/2) = V diag(sqrt(values)) V^T.
std::vector<double> matrix_root(const std::vector<double>& matrix, size_t n) {
  const SymmetricEigen eigen = symmetric_eigen(matrix, static_cast<int64_t>(n));
  const std::vector<double> roots = roots_of(eigen.values);
  std::vector<double> scaled(n * n), transposed(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      scaled[i * n + j] = eigen.vectors[i * n + j] * roots[j];
      transposed[j * n + i] = eigen.vectors[i * n + j];
    }
  }
  return product(scaled, transposed, n);
}

}  // namespace

Gaussian fit_gaussian(const SampleSet& set) {
  if (set.count < 2) fail("a covariance needs at least two examples");
  const auto n = static_cast<size_t>(set.dimensions);
  const auto count = static_cast<double>(set.count);
  Gaussian fitted{std::vector<double>(n), std::vector<double>(n * n)};
  for (int64_t i = 0; i < set.count; ++i) {
    for (size_t d = 0; d < n; ++d) fitted.mean[d] += set.row(i)[d] / count;
  }
  std::vector<double> centred(n);
  for (int64_t i = 0; i < set.count; ++i) {
    for (size_t d = 0; d < n; ++d) centred[d] = set.row(i)[d] - fitted.mean[d];
    for (size_t d = 0; d < n; ++d) {
      for (size_t e = 0; e < n; ++e) fitted.covariance[d * n + e] += centred[d] * centred[e] / (count - 1);
    }
  }
  return fitted;
}

double frechet_distance(const Gaussian& a, const Gaussian& b) {
  const size_t n = a.mean.size();
  if (b.mean.size() != n || a.covariance.size() != n * n || b.covariance.size() != n * n)
    fail("normal distributions of {} and {} dimensions have no distance", n, b.mean.size());
  double distance = 0;
  for (size_t i = 0; i < n; ++i) {
    distance += (a.mean[i] - b.mean[i]) * (a.mean[i] - b.mean[i]);
    distance += a.covariance[i * n + i] + b.covariance[i * n + i];
  }
  const std::vector<double> half = matrix_root(a.covariance, n);
  const std::vector<double> between = product(product(half, b.covariance, n), half, n);
  for (const double root : roots_of(symmetric_eigen(between, static_cast<int64_t>(n)).values))
    distance -= 2 * root;
  return distance;
}

}  // namespace haze
