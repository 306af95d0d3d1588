#pragma once

#include <algorithm>

#include "haze/engine/cuda/ladder/matmul.h"

/// Which tiles the result of a product falls into, and whether K does.
namespace haze::HAZE_KERNELS {

inline constexpr int64_t kEnoughBlocks = 132;               // one for each multiprocessor of an H100
inline constexpr int64_t kLeastPart = 256, kPartUnit = 32;  // of K where it is split

template <typename Tile>
int64_t tile_count(const ProductShape& shape) {
  return shape.batch * ((shape.m + Tile::kM - 1) / Tile::kM) * ((shape.n + Tile::kN - 1) / Tile::kN);
}

/// Large tiles use a number more often that they have read, and are worth it where little of them is empty.
template <typename Tile>
bool fits(const ProductShape& shape) {
  return shape.m * shape.n * shape.batch * 3 >= tile_count<Tile>(shape) * Tile::kM * Tile::kN * 2;
}

/// K is split where the tiles of the result are too few to keep a GPU busy.
template <typename Tile>
ProductShape with_parts_of_k(ProductShape shape) {
  const int64_t wanted = kEnoughBlocks / tile_count<Tile>(shape);
  const int64_t parts = std::min(wanted, shape.k / kLeastPart);
  if (parts > 1) shape.k_each = ((shape.k + parts - 1) / parts + kPartUnit - 1) / kPartUnit * kPartUnit;
  return shape;
}

}  // namespace haze::HAZE_KERNELS
