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

#include "haze/engine/cpu/gemm/gemm_pack-inl.h"
#include "haze/engine/cpu/simd/activations-inl.h"
#include "haze/engine/cpu/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

// A tile of the result is kTileRows x (2 vectors): 24 accumulators of AVX-512's 32 registers, 12 of
// AVX2's 16. Twelve multiply-adds a step are too few to hide a
// prefetch of b: it costs more than it brings.
#if HWY_TARGET <= HWY_AVX3
inline constexpr int64_t kTileRows = 12;
inline constexpr bool kPrefetches = true;
#else
inline constexpr int64_t kTileRows = 6;
inline constexpr bool kPrefetches = false;
#endif

template <typename T>
HWY_INLINE int64_t TileColumns() {
  return 2 * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>()));
}

/// The micro-kernel of gemm.h by fused multiply-adds.
template <int64_t kRows, bool kInPlace, typename T>
void MicroKernel(const T* HWY_RESTRICT a, int64_t a_stride, const T* HWY_RESTRICT b, int64_t b_stride,
                 int64_t k_count, T* HWY_RESTRICT c, int64_t c_stride, bool add) {
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
  for (int64_t k = 0; k < k_count; ++k) {
    const auto b_low = hn::LoadU(d, b), b_high = hn::LoadU(d, b + n);
    if constexpr (kPrefetches) {
      __builtin_prefetch(b + kPrefetchedSteps * b_stride);
      __builtin_prefetch(b + kPrefetchedSteps * b_stride + n);
    }
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

/// The gathering kernel of gemm.h, by the same multiply-adds.
template <int64_t kRows, typename T>
void GatheringKernel(const T* HWY_RESTRICT a, const T* HWY_RESTRICT low_columns,
                     const T* HWY_RESTRICT high_columns, const int64_t* HWY_RESTRICT offsets, int64_t k_count,
                     T* HWY_RESTRICT c, int64_t c_stride, bool add) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> low[kRows], high[kRows];
#pragma GCC unroll 16
  for (int64_t r = 0; r < kRows; ++r) low[r] = high[r] = hn::Zero(d);
  for (int64_t k = 0; k < k_count; ++k, a += kTileRows) {
    const auto b_low = hn::LoadU(d, low_columns + offsets[k]),
               b_high = hn::LoadU(d, high_columns + offsets[k]);
#pragma GCC unroll 16
    for (int64_t r = 0; r < kRows; ++r) {
      const auto value = hn::Set(d, a[r]);
      low[r] = hn::MulAdd(value, b_low, low[r]);
      high[r] = hn::MulAdd(value, b_high, high[r]);
    }
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < kRows; ++r, c += c_stride) {
    hn::StoreU(add ? hn::Add(low[r], hn::LoadU(d, c)) : low[r], d, c);
    hn::StoreU(add ? hn::Add(high[r], hn::LoadU(d, c + n)) : high[r], d, c + n);
  }
}

template <typename T, int64_t... kIndex>
constexpr std::array<GatheringKernelFunction<T>, sizeof...(kIndex)> GatheringKernels(
    std::integer_sequence<int64_t, kIndex...>) {
  return {GatheringKernel<kIndex + 1, T>...};
}

/// The epilogue of `v`, the finished product at `at` of the result's layout, column j.
template <class D, typename T = hn::TFromD<D>, class Load, class Store>
HWY_INLINE hn::Vec<D> ApplyEpilogue(D d, hn::Vec<D> v, const GemmOutput<T>& out, int64_t at, int64_t j,
                                    Load load, Store store) {
  if (out.slope_at) return hn::Mul(v, ActivationSlope(d, out.activation, load(out.slope_at + at)));
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
  const auto load = [d, mask](const T* from) HWY_ATTR { return LoadPart(mask, d, from); };
  const auto store = [d, mask](auto v, T* to) HWY_ATTR { StorePart(v, mask, d, to); };
  auto v = hn::Load(d, tile + x);
  if (add) v = hn::Add(v, load(c + x));
  if (last) v = ApplyEpilogue(d, v, out, i * out.stride + j + x, j + x, load, store);
  store(v, c + x);
}

/// The micro-kernels for 1, 2, ... kTileRows rows.
template <bool kInPlace, typename T, int64_t... kIndex>
constexpr std::array<MicroKernelFunction<T>, sizeof...(kIndex)> MicroKernels(
    std::integer_sequence<int64_t, kIndex...>) {
  return {MicroKernel<kIndex + 1, kInPlace, T>...};
}

/// Multiplies by fused multiply-adds on vectors of T. Its replacements in the functions below have the same
/// members.
template <typename T, class ElementType = WholeElements<T>>
struct FmaTiles {
  using Sum = T;
  using Element = ElementType;                           // of packed operands
  static constexpr int64_t kStepK = Element::kElements;  // a packed K is padded to a multiple of it
  static constexpr int64_t kBlockK = 512 * Element::kElements;
  static constexpr bool kRowsAlongK = false;        // packed panels of a: rows one after the other
  static constexpr bool kWritesWholeTiles = false;  // whatever the rows, and without adding

  static void prepare() {}  // before kernels run on this thread
  static constexpr bool kReadsInPlace = std::is_same_v<Element, WholeElements<T>>;
  static constexpr int64_t kRows = kTileRows, kMostColumns = 2 * HWY_MAX_BYTES / sizeof(T);

  static int64_t columns() { return TileColumns<T>(); }
  static MicroKernelFunction<T> kernel(int64_t rows, bool in_place) {
    using Index = std::make_integer_sequence<int64_t, kTileRows>;
    static constexpr auto kPacked = MicroKernels<false, T>(Index()),
                          kInPlace = MicroKernels<true, T>(Index());
    return (in_place ? kInPlace : kPacked)[static_cast<size_t>(rows - 1)];
  }
};

/// Asks for the part of the result that a tile will be added to.
template <typename T>
HWY_INLINE void PrefetchResult(const GemmOutput<T>& out, int64_t row, int64_t rows, int64_t column) {
  for (int64_t r = row; r < row + rows; ++r) {
    __builtin_prefetch(out.c + r * out.stride + column, 1);
    __builtin_prefetch(out.c + r * out.stride + column + TileColumns<T>() / 2, 1);
  }
}

/// Packed elements along K, the reduction dimension.
template <class Tiles>
constexpr int64_t PackedK(int64_t k_count) {
  return (k_count + Tiles::kStepK - 1) / Tiles::kStepK * (Tiles::kStepK / Tiles::Element::kElements);
}

/// One row of tiles: block.rows rows of a against all columns of b.
template <class Tiles, typename S>
void Multiply(const GemmOperand<S>& a, const GemmOperand<S>& b, const GemmBlock& block,
              const GemmOutput<typename Tiles::Sum>& out) {
  using T = typename Tiles::Sum;
  const MicroKernelFunction<T> kernel = Tiles::kernel(block.rows, !a.packed);
  alignas(64) T tile[Tiles::kRows * Tiles::kMostColumns];
  const int64_t panel = Tiles::columns(), k_count = PackedK<Tiles>(block.k_count);
  const auto* rows = static_cast<const T*>(a.packed ? a.packed : a.rows);
  const auto* columns = static_cast<const T*>(b.packed ? b.packed : b.rows);
  const int64_t b_stride = b.packed ? panel : b.stride, next_panel = b.packed ? panel * k_count : panel;
  const bool add = !block.first || out.accumulate;
  const bool whole_rows = !Tiles::kWritesWholeTiles || block.rows == Tiles::kRows;
  const bool plain = whole_rows && (!block.last || is_plain(out));
  Tiles::prepare();
  for (int64_t x = 0; x < block.columns; x += panel, columns += next_panel) {
    const int64_t width = std::min(panel, block.columns - x), j = block.column + x;
    PrefetchResult(out, block.row, block.rows, j);
    // A unit that only overwrites adds afterwards, so that a sum has one order wherever its tile lies.
    if (plain && width == panel && !(add && Tiles::kWritesWholeTiles)) {
      T* c = out.c + block.row * out.stride + j;
      kernel(rows, a.stride, columns, b_stride, k_count, c, out.stride, add);
      continue;
    }
    kernel(rows, a.stride, columns, b_stride, k_count, tile, panel, false);
    for (int64_t r = 0; r < block.rows; ++r) {
      FinishRow(tile + r * panel, out, block.row + r, j, width, add, block.last);
    }
  }
}

template <class Tiles, typename S>
void PackColumns(MatrixView<const S> b, int64_t k_count, int64_t columns, void* out) {
  using Element = typename Tiles::Element;
  const int64_t panel = Tiles::columns(), packed_k = PackedK<Tiles>(k_count);
  auto* panels = static_cast<typename Element::Packed*>(out);
  for (int64_t j = 0; j < columns; j += panel, panels += panel * packed_k) {
    // Columns that are missing are multiplied too, and subnormal numbers, as bytes and small integers of an
    // earlier tensor are when they are read as floats, take a hundred times as long as zeros.
    if (columns - j < panel) std::fill(panels, panels + panel * packed_k, typename Element::Packed{0});
    PackPanel<Element>(b.from(0, j), k_count, std::min(panel, columns - j), panel, panels);
    const int64_t written = (k_count + Element::kElements - 1) / Element::kElements;
    std::fill(panels + written * panel, panels + packed_k * panel, typename Element::Packed{0});
  }
}

template <class Tiles, typename S>
void PackRows(MatrixView<const S> a, int64_t rows, int64_t k_count, void* out) {
  using Element = typename Tiles::Element;
  if constexpr (Tiles::kRowsAlongK) {
    return PackRowPairs(a, rows, k_count, Tiles::kRows, PackedK<Tiles>(k_count), static_cast<float*>(out));
  }
  PackPanel<Element>(MatrixView<const S>{a.data, a.column_stride, a.row_stride}, k_count, rows, Tiles::kRows,
                     static_cast<typename Element::Packed*>(out));
}

/// A row's sum in blocks of K. The order is the same for every way to cut the rows.
template <class Tiles, typename S>
void AddRowSums(MatrixView<const S> a, int64_t rows, int64_t k_count, bool first, typename Tiles::Sum* sums) {
  using T = typename Tiles::Sum;
  T block[Tiles::kRows] = {};
  if (a.row_stride == 1) {  // rows lie across: a vector of rows at a time
    const hn::ScalableTag<T> d;
    const auto n = static_cast<int64_t>(hn::Lanes(d));
    for (int64_t r = 0; r < rows; r += n) {
      const int64_t count = std::min(n, rows - r);
      const auto some = hn::FirstN(d, static_cast<size_t>(count));
      // Four sums at a time, as an addition takes several cycles, and the next one would wait for it.
      hn::Vec<decltype(d)> sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
      int64_t k = 0;
      for (; k + 4 <= k_count; k += 4) {
        for (int64_t i = 0; i < 4; ++i) sum[i] = hn::Add(sum[i], LoadFirst(d, some, a.at(r, k + i), count));
      }
      for (; k < k_count; ++k) sum[0] = hn::Add(sum[0], LoadFirst(d, some, a.at(r, k), count));
      StorePart(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])), some, d, block + r);
    }
  } else {
    for (int64_t k = 0; k < k_count; ++k) {
      for (int64_t r = 0; r < rows; ++r) block[r] += static_cast<T>(*a.at(r, k));
    }
  }
  for (int64_t r = 0; r < rows; ++r) sums[r] = first ? block[r] : sums[r] + block[r];
}

template <class Tiles, typename S>
const GatheringKernelFunction<typename Tiles::Sum>* GatheringOf() {
  if constexpr (Tiles::kReadsInPlace && std::is_same_v<S, typename Tiles::Sum>) {
    static constexpr auto kKernels = GatheringKernels<S>(std::make_integer_sequence<int64_t, kTileRows>());
    return kKernels.data();
  } else {
    return nullptr;
  }
}

template <class Tiles, typename S>
const GemmKernels<typename Tiles::Sum, S>& KernelsOf() {
  using Packed = typename Tiles::Element::Packed;
  static const GemmKernels<typename Tiles::Sum, S> kernels{
      .tile_rows = Tiles::kRows,
      .tile_columns = Tiles::columns(),
      .k_step = Tiles::kStepK,
      .k_block = Tiles::kBlockK,
      .packed_size = sizeof(Packed) / Tiles::Element::kElements,
      .reads_in_place = Tiles::kReadsInPlace && std::is_same_v<S, Packed>,
      .pack_columns = PackColumns<Tiles, S>,
      .pack_rows = PackRows<Tiles, S>,
      .add_row_sums = AddRowSums<Tiles, S>,
      .multiply = Multiply<Tiles, S>,
      .gathering = GatheringOf<Tiles, S>()};
  return kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
