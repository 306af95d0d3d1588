#pragma once

#include "haze/engine/cuda/fragments.h"
#include "haze/engine/cuda/runtime.h"
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

/// As in simt/gpu_simt.h, which says what these do.
template <unsigned kBytes>
__device__ void copy_async(void* shared, const void* global, unsigned valid = kBytes) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const size_t from = __cvta_generic_to_global(global);
  if constexpr (kBytes == 16) {  // past the first-level cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes), "r"(valid)
                 : "memory");
  }
}
__device__ inline void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <unsigned kGroups>
__device__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

#define HAZE_LDMATRIX(name, trans)                                                             \
  template <unsigned kCount>                                                                   \
  __device__ void name(uint32_t(&words)[kCount], const void* row) {                            \
    static_assert(kCount == 1 || kCount == 2 || kCount == 4);                                  \
    const auto from = static_cast<unsigned>(__cvta_generic_to_shared(row));                    \
    if constexpr (kCount == 4) {                                                               \
      asm volatile("ldmatrix.sync.aligned.m8n8.x4" trans ".shared.b16 {%0, %1, %2, %3}, [%4];" \
                   : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])            \
                   : "r"(from)                                                                 \
                   : "memory");                                                                \
    } else if constexpr (kCount == 2) {                                                        \
      asm volatile("ldmatrix.sync.aligned.m8n8.x2" trans ".shared.b16 {%0, %1}, [%2];"         \
                   : "=r"(words[0]), "=r"(words[1])                                            \
                   : "r"(from)                                                                 \
                   : "memory");                                                                \
    } else {                                                                                   \
      asm volatile("ldmatrix.sync.aligned.m8n8.x1" trans ".shared.b16 {%0}, [%1];"             \
                   : "=r"(words[0])                                                            \
                   : "r"(from)                                                                 \
                   : "memory");                                                                \
    }                                                                                          \
  }
HAZE_LDMATRIX(ldmatrix, "")
HAZE_LDMATRIX(ldmatrix_transposed, ".trans")
#undef HAZE_LDMATRIX

#define HAZE_MMA(element, shape)                                                                        \
  __device__ inline void mma(FragmentC& c, const FragmentA<element>& a, const FragmentB<element>& b) {  \
    asm volatile("mma.sync.aligned." shape                                                              \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "                                      \
                 "{%0, %1, %2, %3};"                                                                    \
                 : "+f"(c.values[0]), "+f"(c.values[1]), "+f"(c.values[2]), "+f"(c.values[3])           \
                 : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "r"(b.words[0]), \
                   "r"(b.words[1]));                                                                    \
  }
HAZE_MMA(bfloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
HAZE_MMA(tfloat32, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef HAZE_MMA

__device__ inline tfloat32 rounded_to_tfloat32(float value) {
  tfloat32 result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result.bits) : "f"(value));
  return result;
}

/// A library has launched kernels for the operation.
inline void launched_by_library(const char* name) {
  cuda::check_launch(name);
}

/// Calls kernel(arguments...) once for each thread of the grid. Throws Error where the device refuses the
/// launch.
template <typename... P, typename... A>
void launch_kernel(const char* name, void (*kernel)(P...), simt::LaunchShape shape, A... arguments) {
  const dim3 grid(shape.grid.x, shape.grid.y, shape.grid.z),
      block(shape.block.x, shape.block.y, shape.block.z);
  if (shape.dynamic_shared_bytes > cuda::kSharedUnasked) {
    cuda::allow_shared_memory(name, reinterpret_cast<const void*>(kernel), shape.dynamic_shared_bytes);
  }
  kernel<<<grid, block, shape.dynamic_shared_bytes, cuda::stream()>>>(static_cast<P>(arguments)...);
  cuda::check_launch(name);
}

}  // namespace haze
