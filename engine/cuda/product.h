#pragma once

#include "haze/engine/cuda/gpu.h"

/// The tiles of a matrix product, for every kernel that multiplies matrices.
namespace haze::HAZE_KERNELS {

/// Rows and columns of a tile. A block that multiplies has kTile x kTile threads: (x, y) of it has the
/// element in row y and column x of a tile of the result.
inline constexpr unsigned kTile = 16;

/// A matrix of any strides, as an argument of a kernel.
template <typename S>
struct Matrix {
  const S* elements;
  int64_t rows, columns, row_stride, column_stride;

  __device__ Wide<S> operator()(int64_t row, int64_t column) const {
    return Wide<S>(elements[row * row_stride + column * column_stride]);
  }
  /// Whether the elements of a column, and not those of a row, lie side by side.
  __device__ bool by_columns() const { return row_stride == 1 && column_stride != 1; }
};

/// Row and column, within a tile of x, of the thread's element when a block reads or adds up x: neighbouring
/// threads have neighbouring addresses.
struct TileElement {
  unsigned row, column;

  template <typename S>
  __device__ explicit TileElement(const Matrix<S>& x)
      : row(x.by_columns() ? threadIdx.x : threadIdx.y), column(x.by_columns() ? threadIdx.y : threadIdx.x) {}
};

/// Each thread brings one element of x to shared memory, or 0 from outside x.
template <typename S, typename W>
__device__ void load_tile(const Matrix<S>& x, int64_t first_row, int64_t first_column,
                          W (&tile)[kTile][kTile + 1]) {
  const TileElement at(x);
  const int64_t row = first_row + at.row, column = first_column + at.column;
  tile[at.row][at.column] = row < x.rows && column < x.columns ? x(row, column) : W(0);
}

/// The thread's element of the tile of a b that begins at `row` and `column`, summed over K in its order. All
/// threads of the block call it.
template <typename S>
__device__ Wide<S> tile_product(const Matrix<S>& a, const Matrix<S>& b, int64_t row, int64_t column) {
  using W = Wide<S>;
  // A column of a tile has its elements in different banks, thanks to one more element a row.
  SHARED(W, a_tile, [kTile][kTile + 1]);
  SHARED(W, b_tile, [kTile][kTile + 1]);
  W sum = 0;
  for (int64_t k = 0; k < a.columns; k += kTile) {
    load_tile(a, row, k, a_tile);
    load_tile(b, k, column, b_tile);
    __syncthreads();
    W of_tile = 0;  // a sum of sums: its rounding errors are a fraction of those of one long sum
    for (unsigned i = 0; i < kTile; ++i) of_tile += a_tile[threadIdx.y][i] * b_tile[i][threadIdx.x];
    sum += of_tile;
    __syncthreads();
  }
  return sum;
}

}  // namespace haze::HAZE_KERNELS
