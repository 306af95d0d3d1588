#pragma once

#include <cstdint>

/// Prefetching: loads that are started early. The processor itself prefetches reads in order, but only to the
/// end of a page (4 KiB), and memory idles while kernels compute.
namespace haze {

inline constexpr int64_t kCacheLine = 64;

/// Prefetches the cache line of p[offset], which need not exist: nothing but time depends on it. Inlined by
/// force, as a compiler that sees a function without effects may leave out its calls.
template <typename T>
[[gnu::always_inline]] inline void prefetch(const T* p, int64_t offset) {
  const auto bytes = static_cast<uintptr_t>(offset) * sizeof(T);
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(p) + bytes));
}

/// Prefetches a whole row.
template <typename T>
inline void prefetch_row(const T* row, int64_t count) {
  for (int64_t i = 0; i < count; i += kCacheLine / static_cast<int64_t>(sizeof(T))) prefetch(row, i);
}

/// Bytes of the longest row behind which a pass prefetches the next one: the first-level cache holds two of
/// these beside a result.
inline constexpr int64_t kPrefetchedRow = 8 << 10;

}  // namespace haze
