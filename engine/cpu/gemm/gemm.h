#pragma once

#include <algorithm>
#include <cstdint>

#include "haze/engine/ops.h"

/// The interface of the matrix product's kernels (gemm-inl.h). `k_count` is the extent of the reduction
/// dimension K.
namespace haze {

/// A matrix of any strides.
template <typename T>
struct MatrixView {
  T* data;
  int64_t row_stride, column_stride;

  T* at(int64_t row, int64_t column) const { return data + row * row_stride + column * column_stride; }
  MatrixView from(int64_t row, int64_t column) const { return {at(row, column), row_stride, column_stride}; }
};

/// The destination of a product, rows `stride` apart, and the epilogue of each element. bias is per column.
/// All that has two axes has the result's layout. Every pointer but c may be null.
template <typename T>
struct GemmOutput {
  T* c;
  int64_t stride;
  bool accumulate = false;
  const T* bias = nullptr;
  Activation activation = Activation::none;
  T* pre_activation = nullptr;
  const T* residual = nullptr;
  const T* slope_at = nullptr;  // activation' is taken there and multiplies the product
  T* row_sums = nullptr;        // of a
};

/// Whether there is no epilogue.
template <typename T>
bool is_plain(const GemmOutput<T>& out) {
  return !out.bias && out.activation == Activation::none && !out.pre_activation && !out.residual &&
         !out.slope_at;
}

/// Part of a product: rows [row, row + rows) and columns [column, column + columns) of the result, over one
/// block of K. The first block overwrites c (unless the product accumulates), and the others add to it. The
/// last one applies the epilogue.
struct GemmBlock {
  int64_t row, rows, column, columns, k_count;
  bool first, last;
};

/// An operand of multiply(): packed, or in place in memory, as rows `stride` elements apart. Rows in place
/// are contiguous along K for a and along the columns for b.
template <typename S>
struct GemmOperand {
  const void* packed = nullptr;
  const S* rows = nullptr;
  int64_t stride = 0;
};

/// Micro-kernels prefetch the rows of b that they need so many steps later.
inline constexpr int64_t kPrefetchedSteps = 16;

/// c [rows, tile columns], its rows `c_stride` apart, becomes a b over `k_count` packed elements; with `add`
/// it is added to. a is a packed panel of rows, or, in a kernel that reads in place, rows `a_stride` apart.
/// Rows of b are `b_stride` apart. There is a function for each number of rows.
template <typename T>
using MicroKernelFunction = void (*)(const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                                     int64_t k_count, T* c, int64_t c_stride, bool add);

/// The same over rows of b at any positions. Row k of the tile's two vectors of columns is read at
/// low + offsets[k] and high + offsets[k]. a is packed.
template <typename T>
using GatheringKernelFunction = void (*)(const T* a, const T* low, const T* high, const int64_t* offsets,
                                         int64_t k_count, T* c, int64_t c_stride, bool add);

/// The kernels for one instruction set and one way to multiply. T is what sums are held in, S what operands
/// are stored as; packed elements have a type of the kernel's own. A tile is what the micro-kernel computes
/// in registers: tile_rows x tile_columns of the result.
template <typename T, typename S>
struct GemmKernels {
  int64_t tile_rows, tile_columns;
  int64_t k_step;       // K is padded with zeros to a multiple of this when packed
  int64_t k_block;      // the largest block of K, a multiple of k_step
  size_t packed_size;   // bytes of a packed element
  bool reads_in_place;  // whether contiguous operands need not be packed
  /// b [K, columns] as panels of tile_columns columns, each with all of K.
  void (*pack_columns)(MatrixView<const S> b, int64_t k_count, int64_t columns, void* out);
  /// a [rows, K] as one panel, rows <= tile_rows. May write up to 64 bytes more.
  void (*pack_rows)(MatrixView<const S> a, int64_t rows, int64_t k_count, void* out);
  /// sums[i] becomes the sum of a's row i over K; unless `first`, that is added to it.
  void (*add_row_sums)(MatrixView<const S> a, int64_t rows, int64_t k_count, bool first, T* sums);
  /// At most tile_rows rows of the result. Where b is not packed, the columns are a multiple of tile_columns.
  void (*multiply)(const GemmOperand<S>& a, const GemmOperand<S>& b, const GemmBlock& block,
                   const GemmOutput<T>& out);
  /// For 1, 2, ... tile_rows rows and tile_columns columns; null where elements are packed in another type.
  const GatheringKernelFunction<T>* gathering;
};

/// The best kernels for this processor. Operands of float or double: T and S equal. float32 operands with
/// `precision` bfloat16, and bfloat16 operands, are multiplied as bfloat16 with sums in float32.
template <typename T, typename S>
const GemmKernels<T, S>& gemm_kernels(Precision precision = Precision::full);

inline constexpr int64_t kWidestTile = 32, kTallestTile = 12;  // of kernels that pack elements as they are

/// Elements of scratch that small_gemm needs for results up to [.., n] and K up to k.
constexpr int64_t small_gemm_scratch(int64_t n, int64_t k) {
  constexpr int64_t kSlack = 16;
  return (n + kWidestTile - 1) / kWidestTile * kWidestTile * k + kTallestTile * k + kSlack;
}

/// c = a b [m, n] on the calling thread, for products that fit in the first caches. `scratch` holds
/// small_gemm_scratch(n, k) elements, aligned to 64 bytes.
template <typename T>
void small_gemm(const GemmKernels<T, T>& kernels, MatrixView<const T> a, MatrixView<const T> b, int64_t m,
                int64_t n, int64_t k, const GemmOutput<T>& out, T* scratch) {
  const int64_t panels = (n + kernels.tile_columns - 1) / kernels.tile_columns;
  T* panel = scratch + panels * kernels.tile_columns * k;
  const bool b_in_place = b.column_stride == 1 && n % kernels.tile_columns == 0;
  if (!b_in_place) kernels.pack_columns(b, k, n, scratch);
  const GemmOperand<T> columns =
      b_in_place ? GemmOperand<T>{nullptr, b.data, b.row_stride} : GemmOperand<T>{scratch};
  const int64_t tile_rows = (m + kernels.tile_rows - 1) / kernels.tile_rows;
  for (int64_t i = 0; i < tile_rows; ++i) {
    const int64_t row = m * i / tile_rows, rows = m * (i + 1) / tile_rows - row;
    const GemmBlock block{row, rows, 0, n, k, true, true};
    const bool a_in_place = a.column_stride == 1;
    if (!a_in_place) kernels.pack_rows(a.from(row, 0), rows, k, panel);
    const GemmOperand<T> part =
        a_in_place ? GemmOperand<T>{nullptr, a.at(row, 0), a.row_stride} : GemmOperand<T>{panel};
    kernels.multiply(part, columns, block, out);
  }
}

}  // namespace haze
