#pragma once

#include <array>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/tensor.h"

namespace haze {

/// Elements of a task of element-by-element work: enough to pay for handing it to a thread.
inline constexpr int64_t kElementGrain = 16384;

/// N operands of one shape, with axes merged wherever all of them lie evenly spaced across the seam.
template <size_t N>
struct StridedLayout {
  Shape shape;
  std::array<Shape, N> strides;

  StridedLayout(const Shape& full, const std::array<const Tensor*, N>& operands) {
    for (int axis = 0; axis < full.rank(); ++axis) {
      if (full[axis] == 1) continue;
      bool merges = shape.rank() > 0;
      for (size_t n = 0; merges && n < N; ++n) {
        merges = strides[n].back() == operands[n]->stride(axis) * full[axis];
      }
      if (merges) {
        shape[shape.rank() - 1] *= full[axis];
        for (size_t n = 0; n < N; ++n) strides[n][shape.rank() - 1] = operands[n]->stride(axis);
      } else {
        shape.append(full[axis]);
        for (size_t n = 0; n < N; ++n) strides[n].append(operands[n]->stride(axis));
      }
    }
    if (shape.rank() == 0) {
      shape.append(full.elements());
      for (size_t n = 0; n < N; ++n) strides[n].append(1);
    }
  }

  int64_t inner_stride(size_t n) const { return strides[n].back(); }
};

/// Calls body(offsets, count) for runs along the last merged axis, in parallel: operand n's elements are at
/// offsets[n] + i inner_stride(n).
template <size_t N, typename Body>
void for_each_run(const StridedLayout<N>& layout, Body&& body) {
  const int rank = layout.shape.rank();
  const int64_t inner = layout.shape[rank - 1];
  parallel_for(layout.shape.elements(), kElementGrain, [&](int64_t first, int64_t last) {
    std::array<int64_t, N> offsets{};
    Shape index = layout.shape;
    int64_t rest = first;
    for (int axis = rank - 1; axis >= 0; --axis) {
      index[axis] = rest % layout.shape[axis];
      rest /= layout.shape[axis];
      for (size_t n = 0; n < N; ++n) offsets[n] += index[axis] * layout.strides[n][axis];
    }
    for (int64_t at = first; at < last;) {
      const int64_t count = std::min(inner - index[rank - 1], last - at);
      body(offsets, count);
      at += count;
      if (at >= last) break;
      // To the start of the next run.
      for (size_t n = 0; n < N; ++n) offsets[n] -= index[rank - 1] * layout.strides[n][rank - 1];
      index[rank - 1] = 0;
      for (int axis = rank - 2; axis >= 0; --axis) {
        for (size_t n = 0; n < N; ++n) offsets[n] += layout.strides[n][axis];
        if (++index[axis] < layout.shape[axis]) break;
        for (size_t n = 0; n < N; ++n) offsets[n] -= layout.strides[n][axis] * layout.shape[axis];
        index[axis] = 0;
      }
    }
  });
}

/// Elements of a run that are worked on at a time, small enough for packed operands to stay in the
/// first-level cache.
inline constexpr int64_t kChunk = 512;

/// The next `count` (at most kChunk) elements of an operand side by side: in place where they are, packed
/// into `buffer` where they are spaced or repeated.
template <typename T>
const T* packed(const T* first, int64_t stride, int64_t count, T* buffer) {
  if (stride == 1) return first;
  for (int64_t i = 0; i < count; ++i) buffer[i] = first[i * stride];
  return buffer;
}

}  // namespace haze
