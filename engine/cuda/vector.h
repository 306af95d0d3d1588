#pragma once

#include "haze/engine/cuda/gpu.h"

/// Neighbouring elements that a thread reads and writes at once. One instruction moves up to 16 bytes a
/// thread: four float32 or eight bfloat16. A warp then has 512 bytes under way by one request, and a thread
/// does its arithmetic of addresses once for all of them.
namespace haze::HAZE_KERNELS {

template <typename T, int kWidth>
struct alignas(kWidth * sizeof(T)) Vector {
  T of[kWidth];
};

/// Elements in 16 bytes.
template <typename T>
inline constexpr int kWidest = 16 / sizeof(T);

/// The vectors of an array, for load_vector and store_vector. It begins at a multiple of their size.
template <int kWidth, typename T>
__device__ auto* vectors(T* x) {
  using Element = std::remove_const_t<T>;
  using V = Vector<Element, kWidth>;
  return reinterpret_cast<std::conditional_t<std::is_const_v<T>, const V, V>*>(x);
}

/// `value` for every element.
template <int kWidth, typename T>
__device__ Vector<T, kWidth> repeated(T value) {
  Vector<T, kWidth> v;
  for (int k = 0; k < kWidth; ++k) v.of[k] = value;
  return v;
}

/// Vector i of the array at x, in the type that kernels compute in.
template <int kWidth, typename T>
__device__ Vector<Wide<T>, kWidth> load_wide(const T* x, int64_t i) {
  const Vector<T, kWidth> v = load_vector(vectors<kWidth>(x) + i);
  Vector<Wide<T>, kWidth> wide;
  for (int k = 0; k < kWidth; ++k) wide.of[k] = Wide<T>(v.of[k]);
  return wide;
}

/// The vector at x, of which only `left` elements may be there; then the others are 0.
template <int kWidth, typename T>
__device__ Vector<T, kWidth> load_up_to(const T* x, int64_t left) {
  if (left >= kWidth) return load_vector(vectors<kWidth>(x));
  Vector<T, kWidth> v = {};
  for (int k = 0; k < kWidth; ++k) {
    if (k < left) v.of[k] = x[k];
  }
  return v;
}
/// Writes its first `left` elements, or all of them where there are fewer.
template <int kWidth, typename T>
__device__ void store_up_to(T* x, const Vector<T, kWidth>& v, int64_t left) {
  if (left >= kWidth) return store_vector(vectors<kWidth>(x), v);
  for (int k = 0; k < kWidth; ++k) {
    if (k < left) x[k] = v.of[k];
  }
}

/// Whether vectors of `bytes` may begin at the first element of x, which may be undefined.
inline bool is_aligned(const Tensor& x, size_t bytes = 16) {
  return !x.defined() || reinterpret_cast<uintptr_t>(x.address()) % bytes == 0;
}

/// Calls f with a number of elements of T that threads take at once, as a type: 16 bytes of them where
/// `allowed`, otherwise one.
template <typename T, typename F>
void with_width(bool allowed, F&& f) {
  allowed ? f(std::integral_constant<int, kWidest<T>>()) : f(std::integral_constant<int, 1>());
}

}  // namespace haze::HAZE_KERNELS
