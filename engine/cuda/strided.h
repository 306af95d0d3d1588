#pragma once

#include "haze/engine/cuda/gpu.h"

namespace haze::HAZE_KERNELS {

/// The shape of a result and the strides of its operands, as an argument of a kernel. Axes of extent 1 are
/// gone, and neighbouring axes are one where all operands allow it.
template <int kOperands>
struct StridedIndex {
  int rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kOperands][kMaxRank] = {};

  StridedIndex(const Shape& of, const Tensor* const (&operands)[kOperands]) {
    for (int axis = 0; axis < of.rank(); ++axis) {
      if (of[axis] == 1) continue;
      bool follows = rank > 0;
      for (int i = 0; follows && i < kOperands; ++i) {
        follows = strides[i][rank - 1] == operands[i]->stride(axis) * of[axis];
      }
      if (!follows) shape[rank++] = 1;
      shape[rank - 1] *= of[axis];
      for (int i = 0; i < kOperands; ++i) strides[i][rank - 1] = operands[i]->stride(axis);
    }
  }

  /// Whether every operand is contiguous, or of one element.
  bool contiguous() const {
    if (rank == 0) return true;
    bool all = rank == 1;
    for (int i = 0; i < kOperands; ++i) all = all && strides[i][0] == 1;
    return all;
  }

  /// Where operand i has element `number` of the result, in row-major order.
  __device__ int64_t offset(int i, int64_t number) const {
    int64_t result = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      result += number % shape[axis] * strides[i][axis];
      number /= shape[axis];
    }
    return result;
  }
};

}  // namespace haze::HAZE_KERNELS
