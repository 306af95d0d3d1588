#pragma once

#include "haze/engine/cuda/math.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/vector.h"
#include "haze/engine/ops/sort.h"

/// Adds row i of source [count, inner] to row indices[i] of target [extent, inner]: the gradient of an
/// embedding. The same index may come many times, and then rounding depends on the order of the terms.
namespace haze::HAZE_KERNELS {

/// A thread adds an element by an atomic. Terms are added as they come: their order, and with it the bits,
/// may differ from one run to the next.
template <typename T>
__global__ void index_add_by_atomics(const int32_t* indices, const T* source, T* target, int64_t extent,
                                     int64_t inner, int64_t elements, Refuse refuse) {
  const int64_t i = thread_number();
  if (i >= elements) return;
  const int32_t index = indices[i / inner];
  if (is_inside(index, extent, refuse)) atomicAdd(target + index * inner + i % inner, source[i]);
}

/// The sizes of source [outer, count, inner] and target [outer, extent, inner]; there are as many vectors in
/// `inner` as `width` says.
struct IndexAddShape {
  int64_t outer, count, extent, width;
};

/// `keys` are the indices in order, and `positions` are where they stood: equal indices stand by position. A
/// thread has a vector of columns and a position among the keys. The first of equal keys has the terms of all
/// of them, which it adds in the order of their positions. It reads kTerms terms before it adds them.
template <typename T, int kWidth>
__global__ void index_add_sorted(const int32_t* keys, const int32_t* positions, const T* source, T* target,
                                 IndexAddShape shape, Refuse refuse) {
  using W = Wide<T>;
  using V = Vector<T, kWidth>;
  constexpr int kTerms = 8;
  const int64_t number = thread_number(), column = number % shape.width, row = number / shape.width;
  const int64_t first = row % shape.count, outer = row / shape.count;
  if (outer >= shape.outer) return;
  const int32_t key = keys[first];
  if (first > 0 && keys[first - 1] == key) return;
  if (!is_inside(key, shape.extent, refuse)) return;
  V* const to = vectors<kWidth>(target) + (outer * shape.extent + key) * shape.width + column;
  const V* const from = vectors<kWidth>(source) + outer * shape.count * shape.width + column;
  V result = load_vector(to);
  W sums[kWidth];
  for (int k = 0; k < kWidth; ++k) sums[k] = W(result.of[k]);
  const auto is_term = [&](int64_t i) { return i < shape.count && keys[i] == key; };
  for (int64_t i = first; is_term(i); i += kTerms) {
    V terms[kTerms];
    int count = 0;
#pragma unroll
    for (int t = 0; t < kTerms; ++t) {
      if (!is_term(i + t)) continue;
      const int64_t position = positions[i + t];
      terms[t] = load_vector(from + position * shape.width);
      count = t + 1;
    }
#pragma unroll
    for (int t = 0; t < kTerms; ++t) {
      if (t >= count) continue;
      for (int k = 0; k < kWidth; ++k) sums[k] = apply(BinaryOp::add, sums[k], W(terms[t].of[k]));
    }
  }
  for (int k = 0; k < kWidth; ++k) result.of[k] = T(sums[k]);
  store_vector(to, result);
}

/// Sorts the indices [count], then adds. source is [outer, count, inner], target [outer, extent, inner].
template <typename T>
void launch_index_add_sorted(const char* name, const char* operation, const Tensor& indices,
                             const Tensor& source, const Tensor& target, int64_t outer, int64_t extent,
                             int64_t inner) {
  const int64_t count = indices.elements();
  const Shape row{1, count};
  const Tensor keys(row, Dtype::int32, indices.device()), positions(row, Dtype::int32, indices.device());
  const Tensor as_row(indices.storage(), row, {count, 1}, indices.offset(), Dtype::int32, indices.device());
  run_kernels(call::Sort{as_row, false, keys, positions});
  const bool allowed = is_aligned(source) && is_aligned(target) && inner % kWidest<T> == 0;
  with_width<T>(allowed, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    launch_kernel(name, index_add_sorted<T, kWidth>, threads_for(outer * count * (inner / kWidth)),
                  elements_of<const int32_t>(keys), elements_of<const int32_t>(positions),
                  elements_of<const T>(source), elements_of<T>(target),
                  IndexAddShape{outer, count, extent, inner / kWidth}, refuse_index(operation));
  });
}

}  // namespace haze::HAZE_KERNELS
