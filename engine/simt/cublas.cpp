#include "haze/engine/cuda/cublas.h"

#include <algorithm>

#include "haze/engine/dtype.h"
#include "haze/engine/simt/checker.h"
#include "haze/engine/simt/launch.h"

// A stand-in for cuBLAS on the emulated GPU, so that what calls it is tested without a GPU. It refuses what
// the library refuses, and adds up in float64.
namespace haze {
namespace {

/// A matrix of cuBLAS: stored by columns, and perhaps meant transposed.
struct ColumnMajor {
  const void* elements;
  cublas::ElementType type;
  bool transposed;
  int64_t leading, step;

  bool allows(int64_t rows, int64_t columns) const {
    return leading >= std::max<int64_t>(1, transposed ? columns : rows);
  }
  double at(int64_t entry, int64_t row, int64_t column) const {
    const int64_t i = entry * step + (transposed ? column + row * leading : row + column * leading);
    if (type == cublas::kBfloat16) return static_cast<float>(static_cast<const bfloat16*>(elements)[i]);
    if (type == cublas::kFloat32) return static_cast<const float*>(elements)[i];
    return static_cast<const double*>(elements)[i];
  }
};

template <typename T>
void write_products(const ColumnMajor& a, const ColumnMajor& b, int64_t m, int64_t n, int64_t k, double alpha,
                    double beta, T* c, int64_t leading_c, int64_t step_c, int64_t batch) {
  for (int64_t entry = 0; entry < batch; ++entry) {
    for (int64_t column = 0; column < n; ++column) {
      for (int64_t row = 0; row < m; ++row) {
        double sum = 0;
        for (int64_t i = 0; i < k; ++i) sum += a.at(entry, row, i) * b.at(entry, i, column);
        T& target = c[entry * step_c + column * leading_c + row];
        target = static_cast<T>(alpha * sum + (beta == 0 ? 0 : beta * static_cast<double>(target)));
      }
    }
  }
  if (!simt::is_checked()) return;
  for (int64_t entry = 0; entry < batch; ++entry) {
    for (int64_t column = 0; column < n; ++column) {
      simt::mark_initialised(c + entry * step_c + column * leading_c, static_cast<size_t>(m) * sizeof(T));
    }
  }
}

cublas::Status gemm(cublas::Context*, cublas::Transposition of_a, cublas::Transposition of_b, int64_t m,
                    int64_t n, int64_t k, const void* alpha, const void* a, cublas::ElementType type_a,
                    int64_t leading_a, int64_t step_a, const void* b, cublas::ElementType type_b,
                    int64_t leading_b, int64_t step_b, const void* beta, void* c, cublas::ElementType type_c,
                    int64_t leading_c, int64_t step_c, int64_t batch, cublas::ComputeType compute, int) {
  const ColumnMajor x{a, type_a, of_a == cublas::kTransposed, leading_a, step_a};
  const ColumnMajor y{b, type_b, of_b == cublas::kTransposed, leading_b, step_b};
  const bool in_float64 = compute == cublas::kInFloat64;
  const bool types = in_float64 ? type_a == cublas::kFloat64 && type_c == cublas::kFloat64
                                : type_a != cublas::kFloat64 && type_c == cublas::kFloat32;
  if (m < 0 || n < 0 || k < 0 || batch < 0 || !types || type_a != type_b || !x.allows(m, k) ||
      !y.allows(k, n) || leading_c < std::max<int64_t>(1, m)) {
    return cublas::kInvalidValue;
  }
  const auto write = [=](auto tag) {
    using T = decltype(tag);
    // The host's factors are read now, as the library does.
    simt::run_in_order([=, by = static_cast<double>(*static_cast<const T*>(alpha)),
                        kept = static_cast<double>(*static_cast<const T*>(beta))] {
      write_products(x, y, m, n, k, by, kept, static_cast<T*>(c), leading_c, step_c, batch);
    });
  };
  in_float64 ? write(double{}) : write(float{});
  return cublas::kSuccess;
}

const cublas::Library* stand_in() {
  static constexpr cublas::Library kLibrary{nullptr, gemm};
  return matmul_by() == MatmulBy::cublas ? &kLibrary : nullptr;
}

}  // namespace

namespace fast {
const cublas::Library* cublas_library() {
  return stand_in();
}
}  // namespace fast
namespace checked {
const cublas::Library* cublas_library() {
  return stand_in();
}
}  // namespace checked

}  // namespace haze
