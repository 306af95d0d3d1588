// Rows in vectors, the last elements of a row, which fill no vector, and prefetching. See math-inl.h about
// the guard.
#if defined(HAZE_PARTIAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_PARTIAL_INL_H_
#undef HAZE_PARTIAL_INL_H_
#else
#define HAZE_PARTIAL_INL_H_
#endif

#include <algorithm>

#include <hwy/highway.h>

#include "haze/engine/cpu/simd/prefetch.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// `mask` is true for the first lanes only. NEON has no masked access, for which Highway reads whole vectors
// and writes them back: past the end of memory, or over what another thread has just written.

/// Zero where the mask is false. Reads no other elements.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadPart(hn::Mask<D> mask, D d, const T* HWY_RESTRICT from) {
#if HWY_ARCH_ARM
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)] = {};
  std::copy_n(from, hn::CountTrue(d, mask), lanes);
  return hn::Load(d, lanes);
#else
  return hn::MaskedLoad(mask, d, from);
#endif
}

/// Writes no other elements.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void StorePart(hn::Vec<D> v, hn::Mask<D> mask, D d, T* HWY_RESTRICT to) {
#if HWY_ARCH_ARM
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(v, d, lanes);
  std::copy_n(lanes, hn::CountTrue(d, mask), to);
#else
  hn::BlendedStore(v, mask, d, to);
#endif
}

/// Prefetches element i of the row behind `row`, which has `count` elements. Rows longer than kPrefetchedRow
/// bytes are left to the processor. The baseline prefetches nothing: its compiler makes vectors of the loops.
template <typename T>
HWY_INLINE void PrefetchNextRow(const T* row, int64_t count, int64_t i) {
  if constexpr (HWY_TARGET != HWY_SCALAR) {
    if (count * static_cast<int64_t>(sizeof(T)) <= kPrefetchedRow) prefetch(row, count + i);
  }
}

/// Calls f(load, store, i) for vectors of elements from i: whole ones, and a part at the end, whose other
/// lanes are loaded as 0 and not stored.
template <typename T, class F>
HWY_INLINE void ForEachVector(int64_t count, F f) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    f([d](const T* from) HWY_ATTR { return hn::LoadU(d, from); },
      [d](auto v, T* to) HWY_ATTR { hn::StoreU(v, d, to); }, i);
  }
  if (i == count) return;
  const auto some = hn::FirstN(d, static_cast<size_t>(count - i));
  f([d, some](const T* from) HWY_ATTR { return LoadPart(some, d, from); },
    [d, some](auto v, T* to) HWY_ATTR { StorePart(v, some, d, to); }, i);
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
