#pragma once

#include "haze/engine/error.h"
#include "haze/engine/refusal.h"
#include "haze/engine/simt/launch.h"

/// nvcc's side of gpu.h: CUDA as it is, and the few words of ours in which it differs from the emulator.

#define HAZE_KERNELS gpu

#define SHARED(type, name, dims) __shared__ type name dims
#define DYNAMIC_SHARED(type, name)                                  \
  extern __shared__ __align__(128) unsigned char dynamic_shared_[]; \
  type* const name = reinterpret_cast<type*>(dynamic_shared_)

namespace haze {

/// Where kernels note the values that they refuse (cuda/runtime.cpp).
Refusal* refusal_slot();

/// One access of sizeof(V) bytes: 1, 2, 4, 8 or 16.
template <typename V>
__device__ V load_vector(const V* address) {
  return *address;
}
template <typename V>
__device__ void store_vector(V* address, V value) {
  *address = value;
}

/// Calls kernel(arguments...) once for each thread of the grid. Throws Error where the device refuses the
/// launch.
template <typename... P, typename... A>
void launch_kernel(const char* name, void (*kernel)(P...), simt::LaunchShape shape, A... arguments) {
  const dim3 grid(shape.grid.x, shape.grid.y, shape.grid.z),
      block(shape.block.x, shape.block.y, shape.block.z);
  kernel<<<grid, block, shape.dynamic_shared_bytes>>>(static_cast<P>(arguments)...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) fail("{}: {}", name, cudaGetErrorString(error));
}

}  // namespace haze
