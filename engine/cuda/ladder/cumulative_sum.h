#pragma once

#include "haze/engine/cuda/rows.h"

/// out[i] = x[0] + ... + x[i] for each row: a scan. Sums are taken in float64 (of int32 in int64), so that an
/// element is rounded once.
namespace haze::HAZE_KERNELS {

template <typename T>
using ScanSum = std::conditional_t<std::is_integral_v<T>, int64_t, double>;

/// A thread has a row, and the lanes of a warp read elements of 32 rows.
template <typename T>
__global__ void scan_by_threads(const T* x, T* out, int64_t rows, int64_t columns) {
  const int64_t row = thread_number();
  if (row >= rows) return;
  ScanSum<T> sum = 0;
  for (int64_t i = row * columns; i < (row + 1) * columns; ++i) {
    sum += ScanSum<T>(x[i]);
    out[i] = T(sum);
  }
}

/// The sum of the values of this lane and of those below it, in steps that double in length (Hillis and
/// Steele 1986, "Data parallel algorithms").
template <typename S>
__device__ S scan_warp(S value) {
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const S below = __shfl_up_sync(kAllLanes, value, distance);
    if (threadIdx.x % kWarp >= distance) value += below;
  }
  return value;
}

/// A warp has a row, and takes 32 elements at a time.
template <typename T>
__global__ void scan_by_warps(const T* x, T* out, int64_t rows, int64_t columns) {
  using S = ScanSum<T>;
  const int64_t row = thread_number() / kWarp;
  if (row >= rows) return;
  x += row * columns;
  out += row * columns;
  S before = 0;  // the sum of the columns before `start`
  for (int64_t start = 0; start < columns; start += kWarp) {
    const int64_t column = start + threadIdx.x % kWarp;
    const S sum = before + scan_warp(column < columns ? S(x[column]) : S(0));
    if (column < columns) out[column] = T(sum);
    before = __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
}

/// A block has a row, and a thread a vector of it: it adds its own elements one after another, then the sums
/// of the threads before it. There is one shuffle for as many elements as a vector has.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowBlock) scan_by_blocks(const T* x, T* out, int64_t columns) {
  using S = ScanSum<T>;
  using V = Vector<T, kWidth>;
  SHARED(S, warp_sums, [kRowBlock / kWarp]);
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t count = columns / kWidth;
  const V* const from = vectors<kWidth>(x + blockIdx.x * columns);
  V* const to = vectors<kWidth>(out + blockIdx.x * columns);
  S before = 0;  // the sum of the vectors before `start`
  for (int64_t start = 0; start < count; start += kRowBlock) {
    const int64_t i = start + threadIdx.x;
    V v = {};
    if (i < count) v = load_vector(from + i);
    S sums[kWidth];
    sums[0] = S(v.of[0]);
    for (int k = 1; k < kWidth; ++k) sums[k] = sums[k - 1] + S(v.of[k]);
    const S up_to_own = scan_warp(sums[kWidth - 1]), below = __shfl_up_sync(kAllLanes, up_to_own, 1);
    if (lane == kWarp - 1) warp_sums[warp] = up_to_own;
    __syncthreads();
    S offset = before;
    for (unsigned other = 0; other < kRowBlock / kWarp; ++other) {
      if (other < warp) offset += warp_sums[other];
      before += warp_sums[other];
    }
    if (lane > 0) offset += below;
    for (int k = 0; k < kWidth; ++k) v.of[k] = T(offset + sums[k]);
    if (i < count) store_vector(to + i, v);
    __syncthreads();
  }
}

/// `aligned` says whether x and out begin at a multiple of 16 bytes.
template <typename T>
void launch_scan_by_blocks(const char* name, const T* x, T* out, int64_t rows, int64_t columns,
                           bool aligned) {
  with_width<T>(aligned && columns % kWidest<T> == 0, [&](auto width) {
    launch_kernel(name, scan_by_blocks<T, decltype(width)::value>,
                  {{static_cast<unsigned>(rows)}, {kRowBlock}}, x, out, columns);
  });
}

}  // namespace haze::HAZE_KERNELS
