// Packing: operands of any strides are copied into panels in the order in which the micro-kernel reads them.
// See math-inl.h about the guard.
#if defined(HAZE_GEMM_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_GEMM_PACK_INL_H_
#undef HAZE_GEMM_PACK_INL_H_
#else
#define HAZE_GEMM_PACK_INL_H_
#endif

#include <algorithm>
#include <bit>

#include <hwy/highway.h>

#include "haze/engine/cpu/gemm/gemm.h"
#include "haze/engine/cpu/simd/partial-inl.h"
#include "haze/engine/cpu/simd/prefetch.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// float32 to the upper 16 bits of the result, rounded to nearest even as bfloat16(float) does.
template <class DU, class VF>
HWY_INLINE hn::Vec<DU> RoundedBits(DU du, VF x) {
  const auto bits = hn::BitCast(du, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x00400000u));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), quiet, rounded);
}

/// A vector of elements stored as S, as T.
template <class D, typename S>
HWY_INLINE hn::Vec<D> LoadAs(D d, const S* source) {
  if constexpr (std::is_same_v<S, hn::TFromD<D>>) {
    return hn::LoadU(d, source);
  } else {
    static_assert(std::is_same_v<S, bfloat16>);
    const hn::Rebind<uint16_t, D> d16;
    const hn::RebindToUnsigned<D> d32;
    const auto bits = hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(source)));
    return hn::BitCast(d, hn::ShiftLeft<16>(bits));
  }
}

/// The first `count` elements of a vector, the others 0; `mask` says the same.
template <class D, typename S>
HWY_INLINE hn::Vec<D> LoadFirst(D d, hn::Mask<D> mask, const S* source, int64_t count) {
  using T = hn::TFromD<D>;
  if constexpr (std::is_same_v<S, T>) {
    return LoadPart(mask, d, source);
#if HWY_TARGET <= HWY_AVX3
  } else if constexpr (std::is_same_v<S, bfloat16>) {
    const hn::Rebind<uint16_t, D> d16;
    const hn::RebindToUnsigned<D> d32;
    const auto bits = hn::MaskedLoad(hn::FirstN(d16, static_cast<size_t>(count)), d16,
                                     reinterpret_cast<const uint16_t*>(source));
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
#endif
  } else {
    HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = static_cast<T>(source[i]);
    return hn::Load(d, lanes);
  }
}

/// A packed element that is one element of the operand, as it is.
template <typename T>
struct WholeElements {
  using Packed = T;
  static constexpr int64_t kElements = 1;  // of the operand in a packed element

  template <class D, class V>
  static HWY_INLINE hn::Vec<D> Combine(D, V first, V) {
    return first;
  }
  template <typename S>
  static Packed One(const S* first, const S*) {
    return static_cast<T>(*first);
  }
};

/// One element, rounded to bfloat16: what bfloat16 products are made of where the processor has none.
struct RoundedElements {
  using Packed = float;
  static constexpr int64_t kElements = 1;

  template <class D, class V>
  static HWY_INLINE hn::Vec<D> Combine(D d, V first, V) {
    const hn::RebindToUnsigned<D> du;
    return hn::BitCast(d, hn::And(RoundedBits(du, first), hn::Set(du, 0xFFFF0000u)));
  }
  template <typename S>
  static Packed One(const S* first, const S*) {
    return static_cast<float>(bfloat16(static_cast<float>(*first)));
  }
};

/// Two neighbours along K as bfloat16, the first in the lower half of 32 bits, which are handled as a float.
struct Pairs {
  using Packed = float;
  static constexpr int64_t kElements = 2;

  template <class D, class V>
  static HWY_INLINE hn::Vec<D> Combine(D d, V first, V second) {
    const hn::RebindToUnsigned<D> du;
    const auto low = hn::ShiftRight<16>(RoundedBits(du, first));
    return hn::BitCast(d, hn::Or(low, hn::And(RoundedBits(du, second), hn::Set(du, 0xFFFF0000u))));
  }
#if HWY_TARGET != HWY_SCALAR
  /// The pairs of neighbours in `low` and then `high`.
  template <class D, class V>
  static HWY_INLINE hn::Vec<D> CombineNeighbours(D d, V low, V high) {
    return Combine(d, hn::ConcatEven(d, high, low), hn::ConcatOdd(d, high, low));
  }
#endif
  template <typename S>
  static Packed One(const S* first, const S* second) {
    const auto bits = [](const S* x) {
      return x ? static_cast<uint32_t>(std::bit_cast<uint16_t>(bfloat16(static_cast<float>(*x)))) : 0u;
    };
    return std::bit_cast<float>(bits(first) | bits(second) << 16);
  }
};

#if HWY_TARGET == HWY_AVX3
/// Pairs by AVX-512 BF16's conversion, which takes subnormal numbers for zero, as its products do. It stands
/// as assembly, since Highway's target for AVX-512 does not have it.
struct ConvertedPairs : Pairs {
  static constexpr uint16_t kInterleaved[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

  template <class D, class V>
  static HWY_INLINE hn::Vec<D> CombineNeighbours(D, V low, V high) {
    asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(low.raw) : "v"(low.raw), "v"(high.raw));
    return low;
  }
  template <class D, class V>
  static HWY_INLINE hn::Vec<D> Combine(D d, V first, V second) {
    // All of `first` and then all of `second`, 16 bits each, to be interleaved.
    const auto converted = CombineNeighbours(d, first, second);
    const __m512i order = _mm512_loadu_si512(kInterleaved);
    return hn::BitCast(
        d, hn::Vec512<uint16_t>{_mm512_permutexvar_epi16(order, _mm512_castps_si512(converted.raw))});
  }
};
#endif

/// One row of a panel from contiguous rows of x: Combine of `first` and `second` (null: zeros). Whole vectors
/// are written. The surplus behind the row belongs to the next one, which is written after it.
template <class Element, typename S>
HWY_INLINE void PackDenseRow(const S* first, const S* second, int64_t width,
                             typename Element::Packed* HWY_RESTRICT out) {
  const hn::ScalableTag<typename Element::Packed> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + n <= width; c += n) {
    const auto below = Element::kElements == 2 && second ? LoadAs(d, second + c) : hn::Zero(d);
    hn::StoreU(Element::Combine(d, LoadAs(d, first + c), below), d, out + c);
  }
  if (c < width) {
    const auto rest = hn::FirstN(d, static_cast<size_t>(width - c));
    const auto below =
        Element::kElements == 2 && second ? LoadFirst(d, rest, second + c, width - c) : hn::Zero(d);
    hn::StoreU(Element::Combine(d, LoadFirst(d, rest, first + c, width - c), below), d, out + c);
  }
}

#if HWY_TARGET != HWY_SCALAR
using Four = hn::Full128<float>;

/// Four packed elements that are neighbours along K.
template <class Element, typename S>
HWY_INLINE hn::Vec<Four> LoadFour(const S* source) {
  const Four d;
  if constexpr (Element::kElements == 1) {
    return Element::Combine(d, LoadAs(d, source), hn::Zero(d));
  } else if constexpr (std::is_same_v<S, bfloat16>) {
    return hn::LoadU(d, reinterpret_cast<const float*>(source));
  } else {
    return Element::CombineNeighbours(d, LoadAs(d, source), LoadAs(d, source + 4));
  }
}

/// out[k][c] = rows[c][k] for 4 x 4 elements, out's rows `stride` apart.
HWY_INLINE void StoreTransposed(hn::Vec<Four> a, hn::Vec<Four> b, hn::Vec<Four> c, hn::Vec<Four> e,
                                float* HWY_RESTRICT out, int64_t stride) {
  const Four d;
  const hn::Repartition<double, Four> d64;
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ce_low)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ce_low)), d, out + stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ce_high)), d, out + 2 * stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ce_high)), d, out + 3 * stride);
}
#endif

/// One row of a panel from elements that lie anyhow.
template <class Element, typename S>
void PackAnyRow(MatrixView<const S> x, int64_t k, int64_t k_count, int64_t width,
                typename Element::Packed* HWY_RESTRICT out) {
  for (int64_t c = 0; c < width; ++c) {
    out[c] = Element::One(x.at(k, c), Element::kElements == 2 && k + 1 < k_count ? x.at(k + 1, c) : nullptr);
  }
}

/// out[k / kElements][c] from x(k, c) for all k below `k_count` and c below `width`, out's rows `panel`
/// apart: one panel. The columns from `width` on hold no meaningful values, and some are not written. x may
/// be contiguous along c, along k, or along neither.
template <class Element, typename S>
void PackPanel(MatrixView<const S> x, int64_t k_count, int64_t width, int64_t panel,
               typename Element::Packed* HWY_RESTRICT out) {
  constexpr int64_t kStep = Element::kElements;
  int64_t k = 0;
  if (x.column_stride == 1) {
    for (; k < k_count; k += kStep, out += panel) {
      const S* first = x.at(k, 0);
      prefetch(first, 2 * panel - 1);  // for the panel beside this one
      PackDenseRow<Element>(first, k + 1 < k_count ? x.at(k + 1, 0) : nullptr, width, out);
    }
    return;
  }
#if HWY_TARGET != HWY_SCALAR
  if constexpr (std::is_same_v<typename Element::Packed, float>) {
    for (; x.row_stride == 1 && k + 4 * kStep <= k_count; k += 4 * kStep, out += 4 * panel) {
      // From the end, as the last four may reach past a row, into the next one. Missing columns repeat.
      const auto four = [&](int64_t c)
                            HWY_ATTR { return LoadFour<Element>(x.at(k, std::min(c, width - 1))); };
      for (int64_t c = (width - 1) / 4 * 4; c >= 0; c -= 4) {
        StoreTransposed(four(c), four(c + 1), four(c + 2), four(c + 3), out + c, panel);
      }
    }
  }
#endif
  for (; k < k_count; k += kStep, out += panel) PackAnyRow<Element>(x, k, k_count, width, out);
}

/// The pairs of row r from element k of K on, and zeros behind them.
template <typename S>
void PackRestOfRow(MatrixView<const S> a, int64_t r, int64_t k, int64_t k_count, int64_t pairs,
                   float* HWY_RESTRICT out) {
  for (; k < k_count; k += 2) out[k / 2] = Pairs::One(a.at(r, k), k + 1 < k_count ? a.at(r, k + 1) : nullptr);
  std::fill(out + (k_count + 1) / 2, out + pairs, 0.0f);
}

/// out[r][k] = the pair a(r, 2 k), a(r, 2 k + 1): a panel whose rows run along K, the layout of tile units.
/// Zeros from `rows` to `panel`, and in a row from the end of K to `pairs`.
template <typename S>
void PackRowPairs(MatrixView<const S> a, int64_t rows, int64_t k_count, int64_t panel, int64_t pairs,
                  float* HWY_RESTRICT out) {
  std::fill(out + rows * pairs, out + panel * pairs, 0.0f);
  int64_t r = 0;
#if HWY_TARGET != HWY_SCALAR
  if (a.row_stride == 1) {
    const Four d;
    const auto pair_of_rows = [&](int64_t k, int64_t row) HWY_ATTR {
      return Pairs::Combine(d, LoadAs(d, a.at(row, k)), LoadAs(d, a.at(row, k + 1)));
    };
    for (; r + 4 <= rows; r += 4) {
      int64_t k = 0;
      for (; k + 8 <= k_count; k += 8) {
        StoreTransposed(pair_of_rows(k, r), pair_of_rows(k + 2, r), pair_of_rows(k + 4, r),
                        pair_of_rows(k + 6, r), out + r * pairs + k / 2, pairs);
      }
      for (int64_t i = r; i < r + 4; ++i) PackRestOfRow(a, i, k, k_count, pairs, out + i * pairs);
    }
  } else if (a.column_stride == 1) {
    for (; r < rows; ++r) {
      int64_t k = 0;
      for (; k + 8 <= k_count; k += 8)
        hn::StoreU(LoadFour<Pairs>(a.at(r, k)), Four(), out + r * pairs + k / 2);
      PackRestOfRow(a, r, k, k_count, pairs, out + r * pairs);
    }
  }
#endif
  for (; r < rows; ++r) PackRestOfRow(a, r, 0, k_count, pairs, out + r * pairs);
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
