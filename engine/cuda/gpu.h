#pragma once

/// Included by every file of kernels. The same source is compiled by nvcc for a GPU and by the C++ compiler
/// for the emulated one. The names in it belong to namespace HAZE_KERNELS, which differs from one compilation
/// to the next.
#ifdef __CUDACC__
#include "haze/engine/cuda/gpu_cuda.h"
#else
#include "haze/engine/simt/gpu_simt.h"
#endif

#include <cstdint>
#include <type_traits>

#include "haze/engine/call.h"
#include "haze/engine/tensor.h"

namespace haze::HAZE_KERNELS {

/// The type that a kernel computes in with elements of T.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;

/// The elements of a tensor on the device.
template <typename T>
T* elements_of(const Tensor& x) {
  return x.defined() ? static_cast<T*>(x.address()) : nullptr;
}

/// As dispatch() of dtype.h, for operations of floating-point numbers. The operation has checked the dtype.
template <typename F>
void dispatch_floating(Dtype dtype, F&& f) {
  dispatch(dtype, [&](auto tag) {
    if constexpr (!std::is_integral_v<decltype(tag)>) f(tag);
  });
}

/// A grid of one-dimensional blocks that together have at least `threads` threads.
inline simt::LaunchShape threads_for(int64_t threads, unsigned block = 256) {
  const int64_t blocks = (threads + block - 1) / block;
  return {{static_cast<unsigned>(blocks < 1 ? 1 : blocks)}, {block}};
}

/// The number of the running thread in such a grid.
__device__ inline int64_t thread_number() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

}  // namespace haze::HAZE_KERNELS
