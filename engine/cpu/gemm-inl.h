// The matrix product of one tile of rows: packing, the register-blocked micro-kernel and the epilogue. See
// math-inl.h about the guard, and engine/cpu/README.md for the ladder that leads here.
#if defined(HAZE_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_GEMM_INL_H_
#undef HAZE_GEMM_INL_H_
#else
#define HAZE_GEMM_INL_H_
#endif

#include <algorithm>
#include <array>
#include <utility>

#include "haze/engine/cpu/activations-inl.h"
#include "haze/engine/cpu/gemm.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

// A tile of the result is kTileRows x (2 vectors): 24 accumulators of AVX-512's 32 registers, 12 of
// AVX2's 16.
#if HWY_TARGET <= HWY_AVX3
inline constexpr int64_t kTileRows = 12;
#else
inline constexpr int64_t kTileRows = 6;
#endif

template <typename T>
HWY_INLINE int64_t TileColumns() {
  return 2 * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>()));
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
    return hn::MaskedLoad(mask, d, source);
  } else {
    HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = static_cast<T>(source[i]);
    return hn::Load(d, lanes);
  }
}

/// out[k][c] = source[c][k] for 4 x 4 elements, c `stride` apart in the source and k `panel` apart in `out`.
#if HWY_TARGET != HWY_SCALAR
template <typename S>
HWY_INLINE void Transpose4x4(const S* source, int64_t stride, float* HWY_RESTRICT out, int64_t panel) {
  const hn::Full128<float> d;
  const hn::Repartition<double, decltype(d)> d64;
  const auto a = LoadAs(d, source), b = LoadAs(d, source + stride);
  const auto c = LoadAs(d, source + 2 * stride), e = LoadAs(d, source + 3 * stride);
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ce_low)), d, out);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ce_low)), d, out + panel);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ce_high)), d, out + 2 * panel);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ce_high)), d, out + 3 * panel);
}
#endif

/// As PackPanel, from rows of x that lie dense. Whole vectors are written, ascending, so that what reaches
/// past a row is overwritten by the next one; behind the last row the packed buffer has room for a vector.
template <typename T, typename S>
void PackDense(MatrixView<const S> x, int64_t depth, int64_t width, int64_t panel, T* HWY_RESTRICT out) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  const int64_t whole = width / n * n;
  const auto rest = hn::FirstN(d, static_cast<size_t>(width - whole));
  for (int64_t k = 0; k < depth; ++k) {
    const S* source = x.at(k, 0);
    __builtin_prefetch(source + 2 * panel - 1);  // for the panel beside this one
    T* row = out + k * panel;
    for (int64_t c = 0; c < whole; c += n) hn::StoreU(LoadAs(d, source + c), d, row + c);
    if (whole < panel) hn::StoreU(LoadFirst(d, rest, source + whole, width - whole), d, row + whole);
    for (int64_t c = whole + n; c < panel; c += n) hn::StoreU(hn::Zero(d), d, row + c);
  }
}

/// out[k][c] = x(k, c) for all k below `depth` and c below `width`, out's rows `panel` apart: one panel.
/// x's elements lie dense along c, along k, or anyhow; `width` to `panel` becomes zeros.
template <typename T, typename S>
void PackPanel(MatrixView<const S> x, int64_t depth, int64_t width, int64_t panel, T* HWY_RESTRICT out) {
  if (x.column_stride == 1) return PackDense(x, depth, width, panel, out);
  int64_t k = 0;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (std::is_same_v<T, float>) {
    if (x.row_stride == 1) {
      for (; k + 4 <= depth; k += 4) {
        int64_t c = 0;
        for (; c + 4 <= width; c += 4) Transpose4x4(x.at(k, c), x.column_stride, out + k * panel + c, panel);
        for (int64_t i = k; i < k + 4; ++i) {
          for (int64_t j = c; j < width; ++j) out[i * panel + j] = static_cast<T>(*x.at(i, j));
          std::fill(out + i * panel + width, out + (i + 1) * panel, T{0});
        }
      }
    }
  }
#endif
  for (; k < depth; ++k) {
    T* row = out + k * panel;
    for (int64_t c = 0; c < width; ++c) row[c] = static_cast<T>(*x.at(k, c));
    std::fill(row + width, row + panel, T{0});
  }
}

template <typename T, typename S>
void PackColumns(MatrixView<const S> b, int64_t depth, int64_t columns, void* out) {
  const int64_t panel = TileColumns<T>();
  for (int64_t j = 0; j < columns; j += panel) {
    PackPanel(b.from(0, j), depth, std::min(panel, columns - j), panel, static_cast<T*>(out) + j * depth);
  }
}

template <typename T, typename S>
void PackRows(MatrixView<const S> a, int64_t rows, int64_t depth, void* out) {
  PackPanel(MatrixView<const S>{a.data, a.column_stride, a.row_stride}, depth, rows, kTileRows,
            static_cast<T*>(out));
}

/// tile[kRows x TileColumns] = a b over `depth`. a is a packed panel of rows, or, in place, rows `a_stride`
/// apart; rows of b are `b_stride` apart. On the way, what lies `ahead` elements behind in b is brought
/// nearer.
template <int64_t kRows, bool kInPlace, typename T>
void MicroKernel(const T* HWY_RESTRICT a, int64_t a_stride, const T* HWY_RESTRICT b, int64_t b_stride,
                 int64_t ahead, int64_t depth, T* HWY_RESTRICT c, int64_t c_stride, bool add) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> low[kRows], high[kRows];
  // A base pointer for every third row, as an address is a base and a register times 1, 2, 4 or 8.
  constexpr int64_t kBases = (kRows + 2) / 3;
  const T* base[kBases];
#pragma GCC unroll 16
  for (int64_t i = 0; i < kBases; ++i) base[i] = a + i * 3 * a_stride;
#pragma GCC unroll 16
  for (int64_t r = 0; r < kRows; ++r) low[r] = high[r] = hn::Zero(d);
  for (int64_t k = 0; k < depth; ++k) {
    const auto b_low = hn::LoadU(d, b), b_high = hn::LoadU(d, b + n);
    __builtin_prefetch(b + ahead);
    __builtin_prefetch(b + ahead + n);
    b += b_stride;
#pragma GCC unroll 16
    for (int64_t r = 0; r < kRows; ++r) {
      const auto value = hn::Set(d, kInPlace ? base[r / 3][r % 3 * a_stride] : a[r]);
      low[r] = hn::MulAdd(value, b_low, low[r]);
      high[r] = hn::MulAdd(value, b_high, high[r]);
    }
    if constexpr (kInPlace) {
#pragma GCC unroll 16
      for (int64_t i = 0; i < kBases; ++i) ++base[i];
    } else {
      a += kTileRows;
    }
  }
  if (add) {
#pragma GCC unroll 16
    for (int64_t r = 0; r < kRows; ++r) {
      low[r] = hn::Add(low[r], hn::LoadU(d, c + r * c_stride));
      high[r] = hn::Add(high[r], hn::LoadU(d, c + r * c_stride + n));
    }
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < kRows; ++r) {
    hn::StoreU(low[r], d, c + r * c_stride);
    hn::StoreU(high[r], d, c + r * c_stride + n);
  }
}

/// What becomes of `v`, the finished product at `at` of the result's layout, column j.
template <class D, typename T = hn::TFromD<D>, class Load, class Store>
HWY_INLINE hn::Vec<D> ApplyEpilogue(D d, hn::Vec<D> v, const GemmOutput<T>& out, int64_t at, int64_t j,
                                    Load load, Store store) {
  if (out.bias) v = hn::Add(v, load(out.bias + j));
  if (out.pre_activation) store(v, out.pre_activation + at);
  v = Activate(d, out.activation, v);
  if (out.residual) v = hn::Add(v, load(out.residual + at));
  return v;
}

/// Brings `count` elements of a tile's row to row i, column j of the result.
template <typename T>
HWY_INLINE void FinishRow(const T* HWY_RESTRICT tile, const GemmOutput<T>& out, int64_t i, int64_t j,
                          int64_t count, bool add, bool last) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  T* c = out.c + i * out.stride + j;
  int64_t x = 0;
  for (; x + n <= count; x += n) {
    const auto load = [d](const T* from) HWY_ATTR { return hn::LoadU(d, from); };
    const auto store = [d](auto v, T* to) HWY_ATTR { hn::StoreU(v, d, to); };
    auto v = hn::Load(d, tile + x);
    if (add) v = hn::Add(v, load(c + x));
    if (last) v = ApplyEpilogue(d, v, out, i * out.stride + j + x, j + x, load, store);
    store(v, c + x);
  }
  if (x == count) return;
  const auto mask = hn::FirstN(d, static_cast<size_t>(count - x));
  const auto load = [d, mask](const T* from) HWY_ATTR { return hn::MaskedLoad(mask, d, from); };
  const auto store = [d, mask](auto v, T* to) HWY_ATTR { hn::BlendedStore(v, mask, d, to); };
  auto v = hn::Load(d, tile + x);
  if (add) v = hn::Add(v, load(c + x));
  if (last) v = ApplyEpilogue(d, v, out, i * out.stride + j + x, j + x, load, store);
  store(v, c + x);
}

template <typename T>
using MicroKernelFunction = void (*)(const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                                     int64_t ahead, int64_t depth, T* c, int64_t c_stride, bool add);

/// The micro-kernels for 1, 2, ... kTileRows rows.
template <bool kInPlace, typename T, int64_t... kIndex>
constexpr std::array<MicroKernelFunction<T>, sizeof...(kIndex)> MicroKernels(
    std::integer_sequence<int64_t, kIndex...>) {
  return {MicroKernel<kIndex + 1, kInPlace, T>...};
}

/// Asks for the part of the result that a tile will be added to.
template <typename T>
HWY_INLINE void PrefetchResult(const GemmOutput<T>& out, int64_t row, int64_t rows, int64_t column) {
  for (int64_t r = row; r < row + rows; ++r) {
    __builtin_prefetch(out.c + r * out.stride + column, 1);
    __builtin_prefetch(out.c + r * out.stride + column + TileColumns<T>() / 2, 1);
  }
}

/// One row of tiles: block.rows rows of a against all columns of b.
template <typename T, typename S>
void Multiply(const GemmOperand<S>& a, const GemmOperand<S>& b, const GemmBlock& block,
              const GemmOutput<T>& out) {
  using Index = std::make_integer_sequence<int64_t, kTileRows>;
  static constexpr auto kPacked = MicroKernels<false, T>(Index()), kInPlace = MicroKernels<true, T>(Index());
  const MicroKernelFunction<T> kernel = (a.packed ? kPacked : kInPlace)[static_cast<size_t>(block.rows - 1)];
  HWY_ALIGN T tile[kTileRows * 2 * HWY_MAX_BYTES / sizeof(T)];
  const int64_t panel = TileColumns<T>();
  const auto* rows = static_cast<const T*>(a.packed ? a.packed : a.rows);
  const auto* columns = static_cast<const T*>(b.packed ? b.packed : b.rows);
  const int64_t b_stride = b.packed ? panel : b.stride, next_panel = b.packed ? panel * block.depth : panel;
  const int64_t ahead = b.packed ? 16 * panel : panel;
  const bool add = !block.first || out.accumulate;
  const bool plain = !block.last || is_plain(out);
  for (int64_t x = 0; x < block.columns; x += panel, columns += next_panel) {
    const int64_t width = std::min(panel, block.columns - x), j = block.column + x;
    PrefetchResult(out, block.row, block.rows, j);
    if (plain && width == panel) {
      T* c = out.c + block.row * out.stride + j;
      kernel(rows, a.stride, columns, b_stride, ahead, block.depth, c, out.stride, add);
      continue;
    }
    kernel(rows, a.stride, columns, b_stride, ahead, block.depth, tile, panel, false);
    for (int64_t r = 0; r < block.rows; ++r) {
      FinishRow(tile + r * panel, out, block.row + r, j, width, add, block.last);
    }
  }
}

/// Fused multiply-adds on vectors of T.
template <typename T, typename S>
const GemmKernels<T, S>& FmaKernels() {
  static const GemmKernels<T, S> kernels{
      kTileRows,      TileColumns<T>(), 1, 512, sizeof(T), std::is_same_v<S, T>, PackColumns<T, S>,
      PackRows<T, S>, Multiply<T, S>};
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
