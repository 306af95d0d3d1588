#pragma once

#include "haze/engine/tensor.h"

namespace haze {

/// Whether the last two axes are a transposed view of a dense matrix.
inline bool is_transposed(const Tensor& matrix) {
  return matrix.stride(-1) != 1;
}

/// Elements from one row of the dense matrix behind the last two axes to the next: BLAS's "ld".
inline int64_t leading_stride(const Tensor& matrix) {
  return is_transposed(matrix) ? matrix.stride(-1) : matrix.stride(-2);
}

}  // namespace haze
