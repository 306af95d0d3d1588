#pragma once

#include <cmath>

#include "haze/engine/cuda/rows.h"

/// softmax(x)_i = e^(x_i - max) / sum_j e^(x_j - max), of each row of x [rows, columns]. Without the maximum,
/// e^89 is infinite in float32. A row of -inf alone has probabilities 0. All is about how often x is read,
/// and by which threads.
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kSoftmaxBlock = 128;  // threads of a block where each of them has a row

template <typename W>
inline constexpr W kNothing = -std::numeric_limits<W>::infinity();

/// A thread has a row, and reads it for the maximum, for the sum and for the result. The lanes of a warp read
/// elements of 32 rows.
template <typename T>
__global__ void softmax_three_passes(const T* x, T* out, int64_t rows, int64_t columns) {
  using W = Wide<T>;
  const int64_t row = thread_number();
  if (row >= rows) return;
  x += row * columns;
  out += row * columns;
  W max = kNothing<W>, sum = 0;
  for (int64_t i = 0; i < columns; ++i) max = Larger()(max, W(x[i]));
  if (max != kNothing<W>) {
    for (int64_t i = 0; i < columns; ++i) sum += std::exp(W(x[i]) - max);
  }
  const W share = sum == 0 ? W(0) : 1 / sum;
  for (int64_t i = 0; i < columns; ++i) out[i] = T(share == 0 ? share : std::exp(W(x[i]) - max) * share);
}

/// The maximum of elements, and the sum of e^(x - max) over them. Each further element brings both up to date
/// (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3).
template <typename W>
struct OnlineSum {
  W max = kNothing<W>, sum = 0;

  __device__ void add(W x) {
    if (x == kNothing<W>) return;
    const W larger = Larger()(max, x);
    sum = sum * std::exp(max - larger) + std::exp(x - larger);
    max = larger;
  }
  /// The same with one change of the maximum for several elements.
  template <typename T, int kWidth>
  __device__ void add(const Vector<T, kWidth>& x) {
    W larger = max;
    for (int k = 0; k < kWidth; ++k) larger = Larger()(larger, W(x.of[k]));
    if (larger == kNothing<W>) return;
    sum = sum * std::exp(max - larger);
    for (int k = 0; k < kWidth; ++k) sum += std::exp(W(x.of[k]) - larger);
    max = larger;
  }
  /// The sum as it is with a maximum that is not smaller.
  __device__ W sum_for(W larger) const { return max == kNothing<W> ? W(0) : sum * std::exp(max - larger); }
};

/// One pass finds maximum and sum: x is read twice.
template <typename T>
__global__ void softmax_online(const T* x, T* out, int64_t rows, int64_t columns) {
  using W = Wide<T>;
  const int64_t row = thread_number();
  if (row >= rows) return;
  x += row * columns;
  out += row * columns;
  OnlineSum<W> total;
  for (int64_t i = 0; i < columns; ++i) total.add(W(x[i]));
  const W share = total.sum == 0 ? W(0) : 1 / total.sum;
  for (int64_t i = 0; i < columns; ++i) {
    out[i] = T(share == 0 ? share : std::exp(W(x[i]) - total.max) * share);
  }
}

/// The sums of all lanes as one: the maximum first, then sums that all refer to it.
template <typename W>
__device__ OnlineSum<W> over_warp(const OnlineSum<W>& own) {
  const W max = over_warp(own.max, Larger());
  return {max, over_warp(own.sum_for(max), Plus())};
}

/// A warp has a row. Its lanes read neighbouring elements, and put together what they found by shuffles.
template <typename T>
__global__ void softmax_by_warps(const T* x, T* out, int64_t rows, int64_t columns) {
  using W = Wide<T>;
  const int64_t row = thread_number() / kWarp;
  if (row >= rows) return;
  x += row * columns;
  out += row * columns;
  OnlineSum<W> own;
  for (int64_t i = threadIdx.x % kWarp; i < columns; i += kWarp) own.add(W(x[i]));
  const OnlineSum<W> total = over_warp(own);
  const W share = total.sum == 0 ? W(0) : 1 / total.sum;
  for (int64_t i = threadIdx.x % kWarp; i < columns; i += kWarp) {
    out[i] = T(share == 0 ? share : std::exp(W(x[i]) - total.max) * share);
  }
}

/// The sums of all threads of a row as one. Once in a kernel: no barrier follows.
template <unsigned kThreads, typename W>
__device__ OnlineSum<W> total_of_row(const OnlineSum<W>& own) {
  OnlineSum<W> total = over_warp(own);
  if constexpr (kThreads > kWarp) {
    SHARED(W, maxima, [kThreads / kWarp]);
    SHARED(W, sums, [kThreads / kWarp]);
    if (threadIdx.x % kWarp == 0) {
      maxima[threadIdx.x / kWarp] = total.max;
      sums[threadIdx.x / kWarp] = total.sum;
    }
    __syncthreads();
    total = {};
    for (W max : maxima) total.max = Larger()(total.max, max);
    for (unsigned warp = 0; warp < kThreads / kWarp; ++warp) {
      total.sum += OnlineSum<W>{maxima[warp], sums[warp]}.sum_for(total.max);
    }
  }
  return total;
}

/// A thread keeps its vectors in registers: of a row of up to 4096 float32, a block reads x once. `log` asks
/// for the logarithm of the probabilities.
template <typename T, typename Plan>
__global__ void __launch_bounds__(kRowBlock, kRowBlocksAtOnce)
    softmax_in_registers(const T* x, bool log, T* out, int64_t rows, int64_t columns) {
  using W = Wide<T>;
  using V = Vector<T, Plan::kWidth>;
  const int64_t row = own_row<Plan::kThreads>();
  if (row >= rows) return;  // a whole warp, or nobody
  const HeldRow<T, Plan> from(x + row * columns, columns);
  OnlineSum<W> own;
  from.each([&](int64_t, const V& v) { own.add(v); });
  const OnlineSum<W> total = total_of_row<Plan::kThreads>(own);
  const bool is_possible = total.max != kNothing<W>;
  const W log_sum = std::log(total.sum), share = 1 / total.sum;
  auto* const to = vectors<Plan::kWidth>(out + row * columns);
  from.each([&](int64_t i, const V& v) {
    V result;
    for (int k = 0; k < Plan::kWidth; ++k) {
      const W shifted = W(v.of[k]) - total.max;
      result.of[k] = T(!is_possible ? (log ? total.max : W(0))
                       : log        ? shifted - log_sum
                                    : std::exp(shifted) * share);
    }
    store_vector(to + i, result);
  });
}

}  // namespace haze::HAZE_KERNELS
