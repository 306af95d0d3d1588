#pragma once

#include <cstdint>

#include "haze/engine/ops.h"

/// What the matrix product's kernels (gemm-inl.h) are handed.
namespace haze {

/// Depth that one pass works on: a packed panel of b (depth x 32 floats) stays in the first-level cache.
inline constexpr int64_t kDepthBlock = 256;
/// Most columns of b packed at a time.
inline constexpr int64_t kWidthBlock = 2048;
/// The widest tile of any instruction set, in elements, and its most rows.
inline constexpr int64_t kWidestTile = 32;
inline constexpr int64_t kTallestTile = 12;

/// A matrix of any strides.
template <typename T>
struct MatrixView {
  T* data;
  int64_t row_stride, column_stride;

  T* at(int64_t row, int64_t column) const { return data + row * row_stride + column * column_stride; }
  MatrixView from(int64_t row, int64_t column) const { return {at(row, column), row_stride, column_stride}; }
};

/// Where a product goes: rows `stride` apart, and what is done to each element on the way. bias is per
/// column; pre_activation and residual have the result's layout; all three may be null.
template <typename T>
struct GemmOutput {
  T* c;
  int64_t stride;
  bool accumulate = false;
  const T* bias = nullptr;
  Activation activation = Activation::none;
  T* pre_activation = nullptr;
  const T* residual = nullptr;
};

/// Elements of scratch that SmallGemm needs.
constexpr int64_t small_gemm_scratch(int64_t n, int64_t k) {
  return (n + kWidestTile - 1) / kWidestTile * kWidestTile * k + kTallestTile * k;
}

}  // namespace haze
