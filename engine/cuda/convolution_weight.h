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

/// What K numbers.
struct alignas(16) Window {
  int image, number;  // number of the window in its image; -1: there is none
  int y, x;           // of its first pixel

  __device__ static Window of(const WeightProduct& p, int64_t k, int64_t last_k) {
    if (k >= last_k) return {0, -1, -(1 << 30), 0};
    const int windows = p.down.windows * p.across.windows, number = static_cast<int>(k % windows);
    return {static_cast<int>(k / windows), number, number / p.across.windows * p.down.stride + p.down.first,
            number % p.across.windows * p.across.stride + p.across.first};
  }
};

template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    weight_gradient_by_product(WeightProduct p, ProductShape shape, PlainStore finish) {
  using Sums = RegisterSums<Tile, true, true>;
  constexpr unsigned kK = Tile::kK, kRows = Tile::kThreads / kK;  // that threads gather at a time
  static_assert(Tile::kThreads % kK == 0);
  SHARED(SharedVector, memory, [Tile::kSharedBytes / sizeof(SharedVector)]);
  SHARED(Tap, taps, [Tile::kN]);
  SHARED(Window, windows, [2][kK]);
  const BlockTile tile = BlockTile::of<Tile>(shape);
  const unsigned k = threadIdx.x % kK, first = threadIdx.x / kK;
  const int pixels_down = p.down.pixels, pixels_across = p.across.pixels,
            of_image = p.down.windows * p.across.windows;

  for (unsigned j = threadIdx.x; j < Tile::kN; j += Tile::kThreads) {
    const int64_t column = tile.column + j;
    const bool inside = column < shape.n;
    store_vector(&taps[j],
                 inside ? TapNumber(p.down, p.across, column).tap(p.down, p.across) : Tap::outside());
  }
  const auto find_windows = [&](unsigned t) {
    if (threadIdx.x < kK) {
      store_vector(&windows[t % 2][threadIdx.x],
                   Window::of(p, tile.first_k + t * kK + threadIdx.x, tile.last_k));
    }
  };
  const auto gather = [&](const typename Sums::ATile& a_tile, const typename Sums::BTile& b_tile,
                          unsigned t) {
    const Window window = load_vector(&windows[t % 2][k]);
    const int64_t entry = int64_t{window.image} * p.groups + tile.entry;
    const int64_t in_g = entry * p.outs * of_image + window.number;
    for (unsigned i = first; i < Tile::kM; i += kRows) {
      const bool inside = window.number >= 0 && tile.row + i < shape.m;
      copy_async<4>(word_of(a_tile, i, k), p.g + (inside ? in_g + (tile.row + i) * of_image : 0),
                    inside ? 4 : 0);
    }
    const int64_t in_images = (entry * p.channels * pixels_down + window.y) * pixels_across + window.x;
    for (unsigned j = first; j < Tile::kN; j += kRows) {
      const Tap tap = load_vector(&taps[j]);
      const bool inside = static_cast<unsigned>(window.y + tap.y) < static_cast<unsigned>(pixels_down) &&
                          static_cast<unsigned>(window.x + tap.x) < static_cast<unsigned>(pixels_across);
      copy_async<4>(word_of(b_tile, j, k), p.images + (inside ? in_images + tap.offset : 0), inside ? 4 : 0);
    }
  };

  Sums sums;
  multiply_gathered<Tile>(memory, tile, sums, find_windows, gather);
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
