#pragma once

#include "haze/engine/cuda/rows.h"

/// The sum of all elements. Every rung adds in float64. The order depends on the number of elements and on
/// whether x begins at a multiple of 16 bytes, so the bits are the same at every run.
namespace haze::HAZE_KERNELS {

/// The threads of a block add every 256th element each. Then half of them add the sums of the other half,
/// in shared memory, until one is left.
template <typename T>
__global__ void __launch_bounds__(kRowBlock) sum_by_tree(const T* x, T* out, int64_t count) {
  SHARED(double, sums, [kRowBlock]);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kRowBlock) sum += static_cast<double>(x[i]);
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = kRowBlock / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) *out = T(sums[0]);
}

/// Combines the values of all threads of a block; thread 0 gets the result. One barrier, where the tree has
/// one a step.
template <typename F>
__device__ double to_first_thread(double value, F combine) {
  SHARED(double, of_warps, [kRowBlock / kWarp]);
  value = over_warp(value, combine);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  for (unsigned warp = 1; threadIdx.x == 0 && warp < kRowBlock / kWarp; ++warp) {
    value = combine(value, of_warps[warp]);
  }
  return value;
}

/// Lanes of a warp hand each other their sums without memory.
template <typename T>
__global__ void __launch_bounds__(kRowBlock) sum_by_shuffles(const T* x, T* out, int64_t count) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kRowBlock) sum += static_cast<double>(x[i]);
  sum = to_first_thread(sum, Plus());
  if (threadIdx.x == 0) *out = T(sum);
}

/// Combines the running thread's part of `count` elements with `value`: kVectorsAtOnce vectors are under way
/// at the same time, since none waits for another.
template <int kWidth, typename T, typename F>
__device__ double combine_elements(const T* x, int64_t count, double value, F combine) {
  constexpr int kVectorsAtOnce = 4;
  using V = Vector<T, kWidth>;
  const int64_t whole = count / kWidth;
  const V* const from = vectors<kWidth>(x);
  const auto add = [&](const V& v) {
    for (int k = 0; k < kWidth; ++k) value = combine(value, static_cast<double>(v.of[k]));
  };
  int64_t i = threadIdx.x;
  for (; i + (kVectorsAtOnce - 1) * kRowBlock < whole; i += kVectorsAtOnce * kRowBlock) {
    V v[kVectorsAtOnce];
#pragma unroll
    for (int k = 0; k < kVectorsAtOnce; ++k) v[k] = load_vector(from + i + k * kRowBlock);
#pragma unroll
    for (int k = 0; k < kVectorsAtOnce; ++k) add(v[k]);
  }
  for (; i < whole; i += kRowBlock) add(load_vector(from + i));
  for (i = whole * kWidth + threadIdx.x; i < count; i += kRowBlock) {
    value = combine(value, static_cast<double>(x[i]));
  }
  return value;
}

/// A thread reads 16 bytes at once, four times.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowBlock) sum_vectors(const T* x, T* out, int64_t count) {
  const double sum = to_first_thread(combine_elements<kWidth>(x, count, 0.0, Plus()), Plus());
  if (threadIdx.x == 0) *out = T(sum);
}

/// The elements of a block where there are several: as many as fill its threads some times.
inline constexpr int64_t kSumChunk = 8192;

inline int64_t chunks_of(int64_t count) {
  return (count + kSumChunk - 1) / kSumChunk;
}

/// x [rows, columns] -> sums [rows, chunks]: one block alone would leave the other multiprocessors idle. Each
/// has a chunk, and another launch adds their sums in order, where atomics would add them as they come.
template <typename T, int kWidth, typename F>
__global__ void __launch_bounds__(kRowBlock)
    combine_chunks(const T* x, double start, F combine, double* out, int64_t columns, int64_t chunks) {
  const int64_t row = blockIdx.x / chunks, first = blockIdx.x % chunks * kSumChunk;
  const int64_t count = columns - first < kSumChunk ? columns - first : kSumChunk;
  const double value = combine_elements<kWidth>(x + row * columns + first, count, start, combine);
  const double total = to_first_thread(value, combine);
  if (threadIdx.x == 0) out[blockIdx.x] = total;
}

/// Divided by `divisor`: 1, or the number of elements for a mean.
template <typename T, typename F>
__global__ void __launch_bounds__(kRowBlock)
    combine_results(const double* x, double start, F combine, double divisor, T* out, int64_t chunks) {
  const double value = combine_elements<1>(x + blockIdx.x * chunks, chunks, start, combine);
  const double total = to_first_thread(value, combine);
  if (threadIdx.x == 0) out[blockIdx.x] = T(total / divisor);
}

/// Both launches. `aligned` says whether each row begins at a multiple of 16 bytes.
template <typename T, typename F>
void launch_by_chunks(const char* name, const T* x, double start, F combine, double divisor, T* out,
                      int64_t rows, int64_t columns, bool aligned, Device device) {
  const int64_t chunks = chunks_of(columns);
  const Tensor results({rows, chunks}, Dtype::float64, device);
  with_width<T>(aligned, [&](auto width) {
    launch_kernel(name, combine_chunks<T, decltype(width)::value, F>,
                  {{static_cast<unsigned>(rows * chunks)}, {kRowBlock}}, x, start, combine,
                  elements_of<double>(results), columns, chunks);
  });
  launch_kernel(name, combine_results<T, F>, {{static_cast<unsigned>(rows)}, {kRowBlock}},
                elements_of<const double>(results), start, combine, divisor, out, chunks);
}

}  // namespace haze::HAZE_KERNELS
