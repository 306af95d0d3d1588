#pragma once

#include "haze/engine/cuda/gpu.h"

/// Transposing a matrix, which is all about memory: every rung moves the same elements. A block has a tile of
/// 32 x 32 of them and 32 x 8 threads, so that each thread moves four. In x, thread (tx, ty) has the elements
/// in column tx and rows ty, ty + 8, ...
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kTransposeTile = 32, kTransposeRows = 8;

/// x [rows, columns] has rows that are `x_stride` elements apart. There may be a batch of such matrices:
/// block z has entry z.
struct TransposeShape {
  int64_t rows, columns, x_stride, x_step;  // x_step: from one matrix of the batch to the next
};

/// A warp writes 32 elements of a column of out, each of them in another sector of memory.
template <typename X, typename Y>
__global__ void transpose_naive(const X* x, Y* out, TransposeShape shape) {
  const int64_t first_row = int64_t{blockIdx.y} * kTransposeTile,
                column = blockIdx.x * kTransposeTile + threadIdx.x;
  for (unsigned i = threadIdx.y; i < kTransposeTile; i += kTransposeRows) {
    const int64_t row = first_row + i;
    if (row < shape.rows && column < shape.columns) {
      out[column * shape.rows + row] = converted<Y>(x[row * shape.x_stride + column]);
    }
  }
}

// Where the tile has the element in row i and column j of x's tile.
struct PlainTile {
  static constexpr unsigned kPitch = kTransposeTile;
  __device__ static unsigned position(unsigned i, unsigned j) { return i * kPitch + j; }
};
struct PaddedTile {
  static constexpr unsigned kPitch = kTransposeTile + 1;
  __device__ static unsigned position(unsigned i, unsigned j) { return i * kPitch + j; }
};
struct SwizzledTile {
  static constexpr unsigned kPitch = kTransposeTile;
  __device__ static unsigned position(unsigned i, unsigned j) { return i * kPitch + (i ^ j); }
};

/// A warp reads 32 neighbours from x, and writes 32 neighbours to out. In between, it writes a row of the
/// tile and reads a column.
template <typename Tile, typename X, typename Y>
__global__ void transpose_by_tiles(const X* x, Y* out, TransposeShape shape) {
  SHARED(X, tile, [kTransposeTile * Tile::kPitch]);
  const int64_t first_row = int64_t{blockIdx.y} * kTransposeTile,
                first_column = int64_t{blockIdx.x} * kTransposeTile;
  x += blockIdx.z * shape.x_step;
  out += blockIdx.z * shape.rows * shape.columns;
  for (unsigned i = threadIdx.y; i < kTransposeTile; i += kTransposeRows) {
    const int64_t row = first_row + i, column = first_column + threadIdx.x;
    if (row < shape.rows && column < shape.columns) {
      tile[Tile::position(i, threadIdx.x)] = x[row * shape.x_stride + column];
    }
  }
  __syncthreads();
  for (unsigned j = threadIdx.y; j < kTransposeTile; j += kTransposeRows) {
    const int64_t row = first_row + threadIdx.x, column = first_column + j;
    if (row < shape.rows && column < shape.columns) {
      out[column * shape.rows + row] = converted<Y>(tile[Tile::position(threadIdx.x, j)]);
    }
  }
}

inline simt::LaunchShape transpose_launch(const TransposeShape& shape, int64_t batch = 1) {
  const auto tiles = [](int64_t extent) {
    return static_cast<unsigned>((extent + kTransposeTile - 1) / kTransposeTile);
  };
  return {{tiles(shape.columns), tiles(shape.rows), static_cast<unsigned>(batch)},
          {kTransposeTile, kTransposeRows}};
}

}  // namespace haze::HAZE_KERNELS
