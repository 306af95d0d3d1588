#pragma once

#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "haze/engine/cuda/fragments.h"
#include "haze/engine/refusal.h"
#include "haze/engine/simt/calls.h"
#include "haze/engine/simt/launch.h"

/// The words of CUDA for g++: kernels are played by the emulator. engine/cuda/gpu.h includes this or its
/// counterpart for nvcc.

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#ifdef __SANITIZE_THREAD__  // by -fsanitize=thread: this object's accesses call the hooks
#define HAZE_KERNELS checked
#define HAZE_NO_HOOKS [[gnu::noinline, gnu::no_sanitize_thread]]
namespace haze::simt {
inline constexpr bool kChecked = true;
}
#else
#define HAZE_KERNELS fast
#define HAZE_NO_HOOKS
namespace haze::simt {
inline constexpr bool kChecked = false;
}
#endif

#ifdef __SANITIZE_THREAD__
#define HAZE_REGISTERS haze::simt::special_registers()
#else
#define HAZE_REGISTERS haze::simt::registers
#endif
#define threadIdx (HAZE_REGISTERS.thread_index)
#define blockIdx (HAZE_REGISTERS.block_index)
#define blockDim (HAZE_REGISTERS.block_extent)
#define gridDim (HAZE_REGISTERS.grid_extent)

namespace haze::simt {

using Here = std::source_location;

HAZE_NO_HOOKS inline uint64_t together(Collective what, uint32_t mask, uint64_t value, unsigned source,
                                       Here here) {
  return collective(kChecked, what, mask, value, source, here);
}

/// `value` of lane `source`.
template <typename T>
HAZE_NO_HOOKS T shuffled(uint32_t mask, T value, unsigned source, Here here) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = together(Collective::shuffle, mask, bits, source, here);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

/// Lane `lane` within its segment of `width` lanes moves to `to` where that is within the segment.
inline unsigned within(unsigned lane, unsigned to, unsigned width) {
  return to / width == lane / width ? to : lane;
}

/// `*address` becomes f(*address) in one step. On several threads of the system, too.
template <typename T, typename F>
HAZE_NO_HOOKS T change_atomically(T* address, F f, const void* return_address) {
  if constexpr (kChecked) atomic_access(address, sizeof(T), return_address);
  T before, after;
  __atomic_load(address, &before, __ATOMIC_RELAXED);
  do {
    after = f(before);
  } while (!__atomic_compare_exchange(address, &before, &after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return before;
}

}  // namespace haze::simt

// A static array in shared memory: SHARED(float, tile, [16][17]).
#define SHARED(type, name, dims)        \
  static constexpr char name##_tag = 0; \
  using name##_type = type dims;        \
  name##_type& name = *static_cast<name##_type*>(haze::simt::shared(&name##_tag, #name, sizeof(name##_type)))
// The shared memory that the launch asked for.
#define DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(haze::simt::dynamic_shared())

#define HAZE_HERE haze::simt::Here here = haze::simt::Here::current()

inline void __syncthreads(HAZE_HERE) {
  haze::simt::together(haze::simt::Collective::block_barrier, 0, 0, 0, here);
}
inline int __syncthreads_count(int predicate, HAZE_HERE) {
  return static_cast<int>(
      haze::simt::together(haze::simt::Collective::block_count, 0, predicate != 0, 0, here));
}
inline int __syncthreads_and(int predicate, HAZE_HERE) {
  return static_cast<int>(
      haze::simt::together(haze::simt::Collective::block_and, 0, predicate != 0, 0, here));
}
inline int __syncthreads_or(int predicate, HAZE_HERE) {
  return static_cast<int>(haze::simt::together(haze::simt::Collective::block_or, 0, predicate != 0, 0, here));
}
inline void __syncwarp(uint32_t mask = ~0u, HAZE_HERE) {
  haze::simt::together(haze::simt::Collective::warp_barrier, mask, 0, 0, here);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate, HAZE_HERE) {
  return static_cast<uint32_t>(
      haze::simt::together(haze::simt::Collective::ballot, mask, predicate != 0, 0, here));
}
inline int __any_sync(uint32_t mask, int predicate, HAZE_HERE) {
  return __ballot_sync(mask, predicate, here) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, HAZE_HERE) {
  return __ballot_sync(mask, predicate, here) == mask;
}
inline uint32_t __match_any_sync(uint32_t mask, uint32_t value, HAZE_HERE) {
  return static_cast<uint32_t>(haze::simt::together(haze::simt::Collective::match_any, mask, value, 0, here));
}
template <typename T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32, HAZE_HERE) {
  const unsigned lane = haze::simt::lane(), first = lane / width * width;
  return haze::simt::shuffled(mask, value, first + static_cast<unsigned>(source) % width, here);
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32, HAZE_HERE) {
  const unsigned lane = haze::simt::lane();
  return haze::simt::shuffled(mask, value, haze::simt::within(lane, lane ^ bits, width), here);
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, HAZE_HERE) {
  const unsigned lane = haze::simt::lane();
  return haze::simt::shuffled(mask, value, haze::simt::within(lane, lane + delta, width), here);
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, HAZE_HERE) {
  const unsigned lane = haze::simt::lane();
  return haze::simt::shuffled(mask, value, haze::simt::within(lane, lane - delta, width), here);
}

inline void __threadfence(HAZE_HERE) {
  if constexpr (haze::simt::kChecked) {
    haze::simt::fence(here);
  } else {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }
}

template <typename T>
HAZE_NO_HOOKS T atomicAdd(T* address, T value) {
  return haze::simt::change_atomically(
      address, [value](T x) { return static_cast<T>(x + value); }, __builtin_return_address(0));
}
template <typename T>
HAZE_NO_HOOKS T atomicMax(T* address, T value) {
  return haze::simt::change_atomically(
      address, [value](T x) { return x < value ? value : x; }, __builtin_return_address(0));
}
template <typename T>
HAZE_NO_HOOKS T atomicMin(T* address, T value) {
  return haze::simt::change_atomically(
      address, [value](T x) { return value < x ? value : x; }, __builtin_return_address(0));
}
template <typename T>
HAZE_NO_HOOKS T atomicExch(T* address, T value) {
  return haze::simt::change_atomically(
      address, [value](T) { return value; }, __builtin_return_address(0));
}
template <typename T>
HAZE_NO_HOOKS T atomicCAS(T* address, T expected, T value) {
  return haze::simt::change_atomically(
      address, [=](T x) { return x == expected ? value : x; }, __builtin_return_address(0));
}

namespace haze {

/// Where kernels note the values that they refuse.
inline Refusal* refusal_slot() {
  return simt::refusal_slot();
}

/// One access of sizeof(V) bytes: 1, 2, 4, 8 or 16.
template <typename V>
HAZE_NO_HOOKS V load_vector(const V* address) {
  if constexpr (simt::kChecked) simt::vector_access(address, sizeof(V), false, __builtin_return_address(0));
  return *address;
}
template <typename V>
HAZE_NO_HOOKS void store_vector(V* address, V value) {
  if constexpr (simt::kChecked) simt::vector_access(address, sizeof(V), true, __builtin_return_address(0));
  *address = value;
}

/// Copies kBytes bytes (4, 8 or 16) from global to shared memory, without a register and without waiting.
/// Both addresses are multiples of kBytes. The first `valid` bytes are read, the rest becomes 0. A fast
/// kernel has the bytes at once, a checked one when it waits.
template <unsigned kBytes>
HAZE_NO_HOOKS void copy_async(void* shared, const void* global, unsigned valid = kBytes) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  if constexpr (simt::kChecked) {
    simt::copy_async(shared, global, kBytes, valid, __builtin_return_address(0));
  } else if (valid == kBytes) {
    __builtin_memcpy(shared, global, kBytes);
  } else {
    __builtin_memset(shared, 0, kBytes);
    if (valid > 0) __builtin_memcpy(shared, global, valid);
  }
}
/// The copies that the thread has asked for since the last commit become a group.
inline void copy_async_commit() {
  if constexpr (simt::kChecked) simt::copy_async_commit();
}
/// Waits until all but the last kGroups of the thread's own groups have arrived. Other threads see the bytes
/// after a barrier.
template <unsigned kGroups>
void copy_async_wait(HAZE_HERE) {
  if constexpr (simt::kChecked) simt::copy_async_wait(kGroups, here);
}

/// Reads 1, 2 or 4 matrices of 8 rows of 16 bytes from shared memory: words[m] is the lane's part of matrix m
/// (cuda/fragments.h). Lane i gives the address of row i % 8 of matrix i / 8. For all lanes of a warp.
template <unsigned kCount>
HAZE_NO_HOOKS void ldmatrix(uint32_t (&words)[kCount], const void* row, HAZE_HERE) {
  simt::ldmatrix(simt::kChecked, {row, words, kCount, false}, __builtin_return_address(0), here);
}
/// The same, each matrix of elements of 16 bits transposed.
template <unsigned kCount>
HAZE_NO_HOOKS void ldmatrix_transposed(uint32_t (&words)[kCount], const void* row, HAZE_HERE) {
  simt::ldmatrix(simt::kChecked, {row, words, kCount, true}, __builtin_return_address(0), here);
}

/// c += a b by the tensor cores, [16, 16] x [16, 8]. For all lanes of a warp.
HAZE_NO_HOOKS inline void mma(FragmentC& c, const FragmentA<bfloat16>& a, const FragmentB<bfloat16>& b,
                              HAZE_HERE) {
  simt::mma(simt::kChecked, {simt::MatrixElement::bfloat16, a.words, b.words, c.values}, here);
}
/// The same, [16, 8] x [8, 8].
HAZE_NO_HOOKS inline void mma(FragmentC& c, const FragmentA<tfloat32>& a, const FragmentB<tfloat32>& b,
                              HAZE_HERE) {
  simt::mma(simt::kChecked, {simt::MatrixElement::tfloat32, a.words, b.words, c.values}, here);
}
/// To the nearest, away from 0 where two are as near.
HAZE_NO_HOOKS inline tfloat32 rounded_to_tfloat32(float value) {
  return {simt::rounded_to_tfloat32(value)};
}

/// A library has launched kernels for the operation: for a GPU, whose errors come late.
inline void launched_by_library(const char*) {}

/// Calls kernel(arguments...) once for each thread of the grid.
template <typename... P, typename... A>
void launch_kernel(const char* name, void (*kernel)(P...), simt::LaunchShape shape, A... arguments) {
  const auto call = [=]() __attribute__((no_sanitize_thread)) {
    kernel(arguments...);
  };
  // A graph keeps a copy of its bytes.
  static_assert(std::is_trivially_copyable_v<decltype(call)>);
  const auto invoke = [](const void* c) __attribute__((no_sanitize_thread)) {
    (*static_cast<const decltype(call)*>(c))();
  };
  simt::run({name, invoke, &call, sizeof(call), simt::kChecked, reinterpret_cast<const void*>(kernel)},
            shape);
}

}  // namespace haze
