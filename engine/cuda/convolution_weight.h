#pragma once

#include "haze/engine/cuda/ladder/convolution.h"

/// The gradient of a convolution's weight: g [outs, windows] times the matrix of windows, transposed. K runs
/// over the windows of all images, and along a row of each. As in ladder/convolution.h, the matrix is
/// gathered tile by tile.
namespace haze::HAZE_KERNELS {

/// An argument of the kernel. The limits are ConvolutionProduct's.
struct WeightProduct {
  const float *g, *images;
  WindowAxis down, across;
  int groups, outs, channels;  // outs and channels of a group
};

template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    weight_gradient_by_product(WeightProduct p, ProductShape shape, PlainStore finish) {
  using Sums = RegisterSums<Tile, true, true>;
  constexpr unsigned kK = Tile::kK, kRows = Tile::kThreads / kK;  // that threads gather at a time
  static_assert(Tile::kThreads % kK == 0);
  SHARED(SharedVector, memory, [Tile::kSharedBytes / sizeof(SharedVector)]);
  SHARED(Tap, taps, [Tile::kN]);  // of the tile's columns
  const BlockTile tile = BlockTile::of<Tile>(shape);
  for (unsigned j = threadIdx.x; j < Tile::kN; j += Tile::kThreads) {
    Tap tap{0, -kNoPixel, 0};
    if (tile.column + j < shape.n)
      tap = Tap::of(p.down, p.across, TapNumber(p.down, p.across, tile.column + j));
    store_vector(&taps[j], tap);
  }
  __syncthreads();

  const unsigned k = threadIdx.x % kK, first = threadIdx.x / kK;
  const int windows = p.down.windows * p.across.windows;
  const auto gather = [&](const typename Sums::ATile& a_tile, const typename Sums::BTile& b_tile,
                          int64_t first_k) {
    const bool has_window = first_k + k < tile.last_k;
    const int number = has_window ? static_cast<int>(first_k + k) : 0, window = number % windows;
    const int64_t entry = int64_t{number / windows} * p.groups + tile.entry;
    const int64_t in_g = entry * p.outs * windows + window;
    for (unsigned i = first; i < Tile::kM; i += kRows) {
      const bool inside = has_window && tile.row + i < shape.m;
      copy_async<4>(word_of(a_tile, i, k), p.g + (inside ? in_g + (tile.row + i) * windows : 0),
                    inside ? 4 : 0);
    }
    const int y = p.down.first_pixel(window / p.across.windows),
              x = p.across.first_pixel(window % p.across.windows);
    const int64_t in_images = (entry * p.channels * p.down.pixels + y) * p.across.pixels + x;
    for (unsigned j = first; j < Tile::kN; j += kRows) {
      const int offset = taps[j].offset;
      const bool inside = has_window && p.down.has(y + taps[j].y) && p.across.has(x + taps[j].x);
      copy_async<4>(word_of(b_tile, j, k), p.images + (inside ? in_images + offset : 0), inside ? 4 : 0);
    }
  };

  Sums sums;
  multiply_gathered<Tile>(memory, tile, sums, gather);
  finish_tile<Tile>(memory, tile, shape, finish,
                    [&](float* staged, unsigned from) { sums.put(staged, from); });
}

inline WeightProduct weight_product(const Extents& e, const Tensor& g, const Tensor& x) {
  return {.g = elements_of<const float>(g),
          .images = elements_of<const float>(x),
          .down = axis_down(e),
          .across = axis_across(e),
          .groups = static_cast<int>(e.options.groups),
          .outs = static_cast<int>(e.group_outs()),
          .channels = static_cast<int>(e.group_channels())};
}
inline ProductShape weight_shape(const Extents& e, int64_t batch) {
  return {e.group_outs(), e.group_channels() * e.kernel_h * e.kernel_w, batch * e.rows * e.columns,
          e.options.groups};
}

}  // namespace haze::HAZE_KERNELS
