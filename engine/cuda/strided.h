#pragma once

#include "haze/engine/cuda/vector.h"

namespace haze::HAZE_KERNELS {

/// The shape of a result and the strides of its operands, as an argument of a kernel. Axes of extent 1 are
/// gone, and neighbouring axes are one where all operands allow it.
template <int kOperands>
struct StridedIndex {
  int rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kOperands][kMaxRank] = {};
  int64_t last_strides[kOperands] = {};

  StridedIndex(const Shape& of, const Tensor* const (&operands)[kOperands]) {
    for (int axis = 0; axis < of.rank(); ++axis) {
      if (of[axis] == 1) continue;
      bool follows = rank > 0;
      for (int i = 0; follows && i < kOperands; ++i) {
        follows = strides[i][rank - 1] == operands[i]->stride(axis) * of[axis];
      }
      if (!follows) shape[rank++] = 1;
      shape[rank - 1] *= of[axis];
      for (int i = 0; i < kOperands; ++i) {
        last_strides[i] = strides[i][rank - 1] = operands[i]->stride(axis);
      }
    }
  }

  /// Whether operand i repeats one element along the last axis.
  HAZE_HOST_DEVICE bool repeats(int i) const { return last_strides[i] == 0; }

  /// Whether threads may take `width` neighbours along the last axis at once. In each operand they are one
  /// element, or lie side by side and begin at a multiple of the vector. The axis is a multiple, too, unless
  /// there is no other: then only the last vector is not whole.
  bool allows(int width, const Tensor* const (&operands)[kOperands]) const {
    if (rank == 0 || (rank > 1 && shape[rank - 1] % width != 0)) return false;
    for (int i = 0; i < kOperands; ++i) {
      if (repeats(i)) continue;
      bool allowed = strides[i][rank - 1] == 1 &&
                     is_aligned(*operands[i], static_cast<size_t>(width) * size_of(operands[i]->dtype()));
      for (int axis = 0; axis + 1 < rank; ++axis) allowed = allowed && strides[i][axis] % width == 0;
      if (!allowed) return false;
    }
    return true;
  }

  /// Where operand i has element `number` of the result, in row-major order.
  __device__ int64_t offset(int i, int64_t number) const {
    int64_t result = 0;
#pragma unroll  // with indices that are constants, the compiler makes no local copy of the arrays
    for (int axis = kMaxRank - 1; axis > 0; --axis) {
      if (axis >= rank) continue;
      result += number % shape[axis] * strides[i][axis];
      number /= shape[axis];
    }
    return result + number * strides[i][0];
  }
};

/// Elements `first`, first + 1, ... of the result as operand i has them, as many as `left` of kWidth.
template <int kWidth, typename T, int kOperands>
__device__ Vector<T, kWidth> read(const T* x, const StridedIndex<kOperands>& index, int i, int64_t first,
                                  int64_t left) {
  const T* const from = x + index.offset(i, first);
  if constexpr (kWidth == 1) {
    return {*from};
  } else {
    return index.repeats(i) ? repeated<kWidth>(*from) : load_up_to<kWidth>(from, left);
  }
}

/// Calls launch(width) for a kernel whose threads take `width` elements each: 16 bytes of T, the largest of
/// its types, where operands and result allow it.
template <typename T, int kOperands, typename F>
void with_width_for(const StridedIndex<kOperands>& index, const Tensor* const (&operands)[kOperands],
                    const Tensor& out, F&& launch) {
  constexpr int kWidth = kWidest<T>;
  with_width<T>(index.allows(kWidth, operands) && is_aligned(out, kWidth * size_of(out.dtype())), launch);
}

/// A grid with a thread for each vector of `elements`.
template <int kWidth>
simt::LaunchShape threads_for_vectors(int64_t elements) {
  return threads_for((elements + kWidth - 1) / kWidth);
}

}  // namespace haze::HAZE_KERNELS
