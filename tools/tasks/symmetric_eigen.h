#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace haze {

/// A = V diag(values) V^T.
struct SymmetricEigen {
  std::vector<double> values;   // [n], in no order
  std::vector<double> vectors;  // [n, n], row-major; column i belongs to values[i]
};

/// Eigenvalues and orthonormal eigenvectors of a symmetric matrix, [n, n] row-major, by cyclic Jacobi
/// rotations (Golub and Van Loan, "Matrix computations", 4th edition, algorithms 8.5.1 and 8.5.3). Only the
/// upper triangle is looked at. Throws Error where the matrix is not n x n, or a number is not finite.
SymmetricEigen symmetric_eigen(std::span<const double> matrix, int64_t n);

}  // namespace haze
