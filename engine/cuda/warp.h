#pragma once

#include <limits>

#include "haze/engine/cuda/gpu.h"

/// Reductions over the threads of a warp and of a block, in a fixed order.
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kWarp = 32, kAllLanes = 0xFFFFFFFF;

struct Plus {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
/// A NaN on either side comes through.
struct Larger {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a != a || a > b ? a : b;
  }
};
struct Smaller {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a != a || a < b ? a : b;
  }
};

/// The values of kLanes neighbouring lanes, combined; the same in each of them. kLanes is a power of 2.
template <unsigned kLanes, typename T, typename F>
__device__ T over_lanes(T value, F combine) {
#pragma unroll
  for (unsigned distance = kLanes / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, static_cast<int>(distance)));
  }
  return value;
}

/// The values of all lanes of the warp.
template <typename T, typename F>
__device__ T over_warp(T value, F combine) {
  return over_lanes<kWarp>(value, combine);
}

/// The values of all threads of a block of kThreads, combined; the same in every thread. `scratch` is shared
/// memory for a value of each warp. Ends with a barrier, so that it may be used again.
template <unsigned kThreads, typename T, typename F>
__device__ T over_block(T value, T (&scratch)[kThreads / kWarp], F combine) {
  value = over_warp(value, combine);
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  T result = scratch[0];
  for (unsigned warp = 1; warp < kThreads / kWarp; ++warp) result = combine(result, scratch[warp]);
  __syncthreads();
  return result;
}

}  // namespace haze::HAZE_KERNELS
