#include "haze/tools/tasks/symmetric_eigen.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/error.h"

namespace haze {
namespace {

struct Rotation {
  double cosine, sine;
};

/// The rotation that makes a_pq zero (algorithm 8.5.1); of its two angles the smaller.
Rotation rotation_of(double pp, double pq, double qq) {
  const double tau = (qq - pp) / (2 * pq);
  const double tangent = (tau >= 0 ? 1.0 : -1.0) / (std::abs(tau) + std::hypot(1.0, tau));
  const double cosine = 1 / std::hypot(1.0, tangent);
  return {cosine, tangent * cosine};
}

/// Turns numbers `p` and `q` of a row or column, each `stride` apart.
void rotate(double* p, double* q, size_t stride, size_t count, Rotation rotation) {
  for (size_t i = 0; i < count; ++i, p += stride, q += stride) {
    const double x = *p, y = *q;
    *p = rotation.cosine * x - rotation.sine * y;
    *q = rotation.sine * x + rotation.cosine * y;
  }
}

double squares_off_diagonal(const std::vector<double>& matrix, size_t size) {
  double sum = 0;
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = i + 1; j < size; ++j) sum += 2 * matrix[i * size + j] * matrix[i * size + j];
  }
  return sum;
}

/// The full matrix of an upper triangle.
std::vector<double> mirrored(std::span<const double> matrix, size_t size) {
  std::vector<double> full(matrix.begin(), matrix.end());
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < i; ++j) full[i * size + j] = full[j * size + i];
  }
  return full;
}

}  // namespace

SymmetricEigen symmetric_eigen(std::span<const double> matrix, int64_t n) {
  const auto size = static_cast<size_t>(n);
  if (n < 1 || matrix.size() != size * size) fail("{} numbers are no {} x {} matrix", matrix.size(), n, n);
  if (!std::all_of(matrix.begin(), matrix.end(), [](double x) { return std::isfinite(x); }))
    fail("a matrix with a number that is not finite has no eigenvalues");
  std::vector<double> a = mirrored(matrix, size), vectors(size * size);
  for (size_t i = 0; i < size; ++i) vectors[i * size + i] = 1;
  double all = 0;
  for (const double value : a) all += value * value;
  // Fewer than 10 sweeps are usual: it converges quadratically.
  constexpr int kMostSweeps = 50;
  constexpr double kRelative = 1e-30;
  for (int sweep = 0; sweep < kMostSweeps && squares_off_diagonal(a, size) > kRelative * all; ++sweep) {
    for (size_t p = 0; p < size; ++p) {
      for (size_t q = p + 1; q < size; ++q) {
        if (a[p * size + q] == 0) continue;
        const Rotation rotation = rotation_of(a[p * size + p], a[p * size + q], a[q * size + q]);
        rotate(&a[p], &a[q], size, size, rotation);             // columns
        rotate(&a[p * size], &a[q * size], 1, size, rotation);  // rows
        rotate(&vectors[p], &vectors[q], size, size, rotation);
      }
    }
  }
  SymmetricEigen eigen{{}, std::move(vectors)};
  for (size_t i = 0; i < size; ++i) eigen.values.push_back(a[i * size + i]);
  return eigen;
}

}  // namespace haze
