// The matrix product of one thread: packing, the register-blocked micro-kernel and the loops around it. See
// math-inl.h about the guard, and engine/cpu/README.md for the ladder that leads here.
#if defined(HAZE_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_GEMM_INL_H_
#undef HAZE_GEMM_INL_H_
#else
#define HAZE_GEMM_INL_H_
#endif

#include <algorithm>

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

template <typename T, typename S>
HWY_INLINE T Widen(S value) {
  return static_cast<T>(value);
}

/// Packs b[0..depth) x [0..width) into panels of TileColumns columns, each [depth, TileColumns], padded with
/// zeros.
template <typename T, typename S>
void PackColumns(MatrixView<const S> b, int64_t depth, int64_t width, T* HWY_RESTRICT out) {
  const int64_t panel = TileColumns<T>();
  for (int64_t j = 0; j < width; j += panel) {
    const int64_t columns = std::min(panel, width - j);
    for (int64_t k = 0; k < depth; ++k) {
      const S* source = b.at(k, j);
      T* row = out + k * panel;
      for (int64_t c = 0; c < columns; ++c) row[c] = Widen<T>(source[c * b.column_stride]);
      for (int64_t c = columns; c < panel; ++c) row[c] = T{0};
    }
    out += depth * panel;
  }
}

/// Packs a[0..height) x [0..depth) into panels of kTileRows rows, each [depth, kTileRows], padded with zeros.
template <typename T, typename S>
void PackRows(MatrixView<const S> a, int64_t height, int64_t depth, T* HWY_RESTRICT out) {
  for (int64_t i = 0; i < height; i += kTileRows) {
    const int64_t rows = std::min(kTileRows, height - i);
    for (int64_t k = 0; k < depth; ++k) {
      const S* source = a.at(i, k);
      T* column = out + k * kTileRows;
      for (int64_t r = 0; r < rows; ++r) column[r] = Widen<T>(source[r * a.row_stride]);
      for (int64_t r = rows; r < kTileRows; ++r) column[r] = T{0};
    }
    out += depth * kTileRows;
  }
}

/// tile[kRows x TileColumns] = a b over `depth`: a(r, k) at a[r row_stride + k depth_stride], b a packed
/// panel.
template <int64_t kRows, typename T>
HWY_INLINE void MicroKernel(const T* HWY_RESTRICT a, int64_t row_stride, int64_t depth_stride,
                            const T* HWY_RESTRICT b, int64_t depth, T* HWY_RESTRICT tile) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> low[kRows], high[kRows];
#pragma GCC unroll 16
  for (int64_t r = 0; r < kRows; ++r) low[r] = high[r] = hn::Zero(d);
  for (int64_t k = 0; k < depth; ++k) {
    const auto b_low = hn::Load(d, b), b_high = hn::Load(d, b + n);
    b += 2 * n;
#pragma GCC unroll 16
    for (int64_t r = 0; r < kRows; ++r) {
      const auto value = hn::Set(d, a[r * row_stride]);
      low[r] = hn::MulAdd(value, b_low, low[r]);
      high[r] = hn::MulAdd(value, b_high, high[r]);
    }
    a += depth_stride;
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < kRows; ++r) {
    hn::Store(low[r], d, tile + r * 2 * n);
    hn::Store(high[r], d, tile + r * 2 * n + n);
  }
}

/// Adds a finished row of a tile to the result: the first pass over the depth overwrites (unless
/// accumulating), the last one applies the epilogue.
template <typename T>
HWY_INLINE void FinishRow(const T* HWY_RESTRICT tile, const GemmOutput<T>& out, int64_t i, int64_t j,
                          int64_t count, bool first, bool last) {
  T* c = out.c + i * out.stride + j;
  const bool add = !first || out.accumulate;
  const auto finish = [&](auto d, int64_t x) HWY_ATTR {
    auto v = hn::LoadU(d, tile + x);
    if (add) v = hn::Add(v, hn::LoadU(d, c + x));
    if (last) {
      if (out.bias) v = hn::Add(v, hn::LoadU(d, out.bias + j + x));
      if (out.pre_activation) hn::StoreU(v, d, out.pre_activation + i * out.stride + j + x);
      v = Activate(d, out.activation, v);
      if (out.residual) v = hn::Add(v, hn::LoadU(d, out.residual + i * out.stride + j + x));
    }
    hn::StoreU(v, d, c + x);
  };
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t x = 0;
  for (; x + n <= count; x += n) finish(d, x);
  const hn::CappedTag<T, 1> one;
  for (; x < count; ++x) finish(one, x);
}

/// One row of tiles: kRows rows of a against all packed panels of b.
template <int64_t kRows, typename T>
void TileRow(const T* a, int64_t row_stride, int64_t depth_stride, const T* packed_b, int64_t depth,
             const GemmOutput<T>& out, int64_t i, int64_t j, int64_t width, bool first, bool last) {
  HWY_ALIGN T tile[kRows * 2 * HWY_MAX_BYTES / sizeof(T)];
  const int64_t panel = TileColumns<T>();
  for (int64_t x = 0; x < width; x += panel) {
    MicroKernel<kRows>(a, row_stride, depth_stride, packed_b + x * depth, depth, tile);
    for (int64_t r = 0; r < kRows; ++r) {
      FinishRow(tile + r * panel, out, i + r, j + x, std::min(panel, width - x), first, last);
    }
  }
}

/// The last rows, fewer than kTileRows.
template <typename T>
void LastTileRow(const T* a, int64_t rows, int64_t row_stride, int64_t depth_stride, const T* packed_b,
                 int64_t depth, const GemmOutput<T>& out, int64_t i, int64_t j, int64_t width, bool first,
                 bool last) {
  while (rows > 0) {
    const int64_t step = rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    const auto run = step == 4 ? TileRow<4, T> : step == 2 ? TileRow<2, T> : TileRow<1, T>;
    run(a, row_stride, depth_stride, packed_b, depth, out, i, j, width, first, last);
    a += step * row_stride;
    i += step;
    rows -= step;
  }
}

/// Rows [i, i + height) of the result, columns [j, j + width), from rows of `a` and packed panels of b. Rows
/// of `a` that lie dense along the depth are read in place; others are packed into `scratch` (GemmScratch
/// elements) first.
template <typename T, typename S>
void GemmRows(MatrixView<const S> a, int64_t height, const T* packed_b, int64_t depth,
              const GemmOutput<T>& out, int64_t i, int64_t j, int64_t width, bool first, bool last,
              T* scratch) {
  int64_t r = 0;
  if constexpr (std::is_same_v<S, T>) {
    if (a.column_stride == 1) {
      for (; r + kTileRows <= height; r += kTileRows) {
        TileRow<kTileRows>(a.at(r, 0), a.row_stride, 1, packed_b, depth, out, i + r, j, width, first, last);
      }
      LastTileRow(a.at(r, 0), height - r, a.row_stride, 1, packed_b, depth, out, i + r, j, width, first,
                  last);
      return;
    }
  }
  for (; r < height; r += kTileRows) {
    const int64_t rows = std::min(kTileRows, height - r);
    PackRows<T>(a.from(r, 0), rows, depth, scratch);
    if (rows == kTileRows) {
      TileRow<kTileRows>(scratch, 1, kTileRows, packed_b, depth, out, i + r, j, width, first, last);
    } else {
      LastTileRow(scratch, rows, 1, kTileRows, packed_b, depth, out, i + r, j, width, first, last);
    }
  }
}

/// c = a b on one thread, for products small enough for the first caches: attention's. `scratch` holds
/// SmallGemmScratch(n, k) elements.
template <typename T>
void SmallGemm(MatrixView<const T> a, MatrixView<const T> b, int64_t m, int64_t n, int64_t k,
               const GemmOutput<T>& out, T* scratch) {
  const int64_t panel = TileColumns<T>();
  T* packed_b = scratch;
  PackColumns<T>(b, k, n, packed_b);
  GemmRows<T>(a, m, packed_b, k, out, 0, 0, n, true, true, scratch + (n + panel - 1) / panel * panel * k);
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
