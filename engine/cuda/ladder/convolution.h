#pragma once

#include <numeric>

#include "haze/engine/cuda/ladder/matmul.h"
#include "haze/engine/ops/convolution.h"

/// Convolution, which is about reuse, too. A window shares its pixels with its neighbours and with every
/// channel of the result, and a weight meets every window. The first rung leaves it to the caches to find
/// that out. The last one is a product of matrices, and the kernels of matmul.h know how to share those.
namespace haze::HAZE_KERNELS {

/// The extents of a convolution. x is [batch, channels, height, width], g and the result [batch, outs, rows,
/// columns], the weight [outs, channels of a group, kernel_h, kernel_w].
struct Extents {
  int64_t channels, height, width, outs, rows, columns, kernel_h, kernel_w;
  ConvolutionOptions options;

  Extents(const Tensor& x, const Tensor& weight, const Tensor& windows, const ConvolutionOptions& of)
      : channels(x.size(1)),
        height(x.size(2)),
        width(x.size(3)),
        outs(windows.size(1)),
        rows(windows.size(2)),
        columns(windows.size(3)),
        kernel_h(weight.size(2)),
        kernel_w(weight.size(3)),
        options(of) {}

  HAZE_HOST_DEVICE int64_t group_channels() const { return channels / options.groups; }
  HAZE_HOST_DEVICE int64_t group_outs() const { return outs / options.groups; }

  /// Calls f(number of the element of x) where tap (i, j) of the window (row, column) is not padding.
  template <typename F>
  __device__ void at_tap(int64_t batch, int64_t channel, int64_t row, int64_t column, int64_t i, int64_t j,
                         F f) const {
    const int64_t y = row * options.stride_h - options.top + i * options.dilation_h;
    const int64_t x = column * options.stride_w - options.left + j * options.dilation_w;
    if (y >= 0 && y < height && x >= 0 && x < width)
      f(((batch * channels + channel) * height + y) * width + x);
  }

  __device__ int64_t weight_number(int64_t out, int64_t channel, int64_t i, int64_t j) const {
    return ((out * group_channels() + channel) * kernel_h + i) * kernel_w + j;
  }
};

// Rung 1. A thread has an element of the result, and sums over channels and taps in their order. Neighbouring
// threads have neighbouring pixels.
inline constexpr unsigned kDirectThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kDirectThreads)
    convolve_directly(const T* x, const T* weight, const T* bias, T* result, Extents e, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t column = number % e.columns, row = number / e.columns % e.rows;
  const int64_t out = number / e.columns / e.rows % e.outs, batch = number / e.columns / e.rows / e.outs;
  const int64_t first = out / e.group_outs() * e.group_channels();
  T sum = 0;
  for (int64_t c = 0; c < e.group_channels(); ++c) {
    for (int64_t i = 0; i < e.kernel_h; ++i) {
      for (int64_t j = 0; j < e.kernel_w; ++j) {
        const T factor = weight[e.weight_number(out, c, i, j)];
        e.at_tap(batch, first + c, row, column, i, j, [&](int64_t at) { sum += x[at] * factor; });
      }
    }
  }
  result[number] = bias ? sum + bias[out] : sum;
}

// Rung 2. A block has 32 x 8 pixels of one channel of the result. It brings the pixels under them, which are
// a few more (a *halo*), to shared memory, one channel after another, and the channel's weights. The stride
// and the dilation are 1, and there is one group.
inline constexpr simt::Extent kImageTile{32, 8};

__device__ __host__ inline unsigned with_halo(unsigned tile, int64_t kernel) {
  return tile + static_cast<unsigned>(kernel) - 1;
}

template <typename T>
__global__ void __launch_bounds__(kImageTile.x* kImageTile.y)
    convolve_image_tiles(const T* x, const T* weight, T* result, Extents e) {
  DYNAMIC_SHARED(T, pixels);  // [with_halo(kImageTile.y), across], then the weights
  const unsigned across = with_halo(kImageTile.x, e.kernel_w), down = with_halo(kImageTile.y, e.kernel_h);
  const auto taps = static_cast<unsigned>(e.kernel_h * e.kernel_w);
  T* const factors = pixels + down * across;
  const auto tiles_across = static_cast<unsigned>((e.columns + kImageTile.x - 1) / kImageTile.x),
             tiles_down = static_cast<unsigned>((e.rows + kImageTile.y - 1) / kImageTile.y);
  const unsigned image_out = blockIdx.x / tiles_across / tiles_down;
  const int64_t batch = image_out / e.outs, out = image_out % e.outs;
  const int64_t first_row = int64_t{blockIdx.x / tiles_across % tiles_down} * kImageTile.y,
                first_column = int64_t{blockIdx.x % tiles_across} * kImageTile.x;
  const unsigned thread = threadIdx.y * kImageTile.x + threadIdx.x;
  T sum = 0;
  for (int64_t c = 0; c < e.channels; ++c) {
    for (unsigned i = thread; i < down * across; i += kImageTile.x * kImageTile.y) {
      pixels[i] = 0;
      e.at_tap(batch, c, first_row, first_column, i / across, i % across,
               [&](int64_t at) { pixels[i] = x[at]; });
    }
    for (unsigned i = thread; i < taps; i += kImageTile.x * kImageTile.y) {
      factors[i] = weight[(out * e.channels + c) * taps + i];
    }
    __syncthreads();
    T of_channel = 0;  // a sum of sums: its rounding errors are a fraction of those of one long sum
    for (unsigned i = 0; i < e.kernel_h; ++i) {
      for (unsigned j = 0; j < e.kernel_w; ++j) {
        of_channel +=
            pixels[(threadIdx.y + i) * across + threadIdx.x + j] * factors[i * unsigned(e.kernel_w) + j];
      }
    }
    sum += of_channel;
    __syncthreads();
  }
  const int64_t row = first_row + threadIdx.y, column = first_column + threadIdx.x;
  if (row < e.rows && column < e.columns)
    result[((batch * e.outs + out) * e.rows + row) * e.columns + column] = sum;
}

// Rung 3. The windows of all images, each written as a column of its pixels, are a matrix [channels taps,
// windows], and the result is weight [outs, channels taps] times it. The matrix is never written out: a block
// gathers tiles of it as it asks for them, and multiplies as matmul's rung "asynchronous copies" does.
//
// The kernel also serves the operation: groups, any stride and dilation, and the gradient of x. Of the
// gradient, every stride-th pixel down and across (a *phase*) sees the same taps, and is a convolution of g
// with them, of stride 1.

/// Minus this is the number of a pixel so far away that no tap reaches an image from it.
inline constexpr int kNoPixel = 1 << 30;

/// One axis of a convolution: tap t of window w lies on pixel w * stride + first + t * step.
struct WindowAxis {
  int pixels;  // of the images; others are padding
  int windows, stride, first;
  int taps, step;
  int common;                             // the greatest common divisor of stride and step
  int first_tap = 0, tap_step = 1;        // which taps of the kernel these are
  int first_result = 0, result_step = 1;  // which pixels of the result the windows are

  __device__ int first_pixel(int window) const { return window * stride + first; }
  __device__ bool has(int pixel) const { return pixel >= 0 && pixel < pixels; }
  /// The axis of a phase of the gradient: of pixels phase, phase + stride, ... of the images.
  __device__ WindowAxis of_phase(int phase) const {
    const int period = stride / common;  // of the taps that reach a pixel
    const int candidates = period < taps ? period : taps;
    int i = 0;
    while (i < candidates && (phase - first - i * step) % stride != 0) ++i;
    const bool reached = i < candidates;
    return {.pixels = windows,
            .windows = (pixels - phase + stride - 1) / stride,
            .stride = 1,
            .first = (phase - first - i * step) / stride,
            .taps = reached ? (taps - i + period - 1) / period : 0,
            .step = -step / common,
            .common = 1,
            .first_tap = i,
            .tap_step = period,
            .first_result = phase,
            .result_step = stride};
  }
};

/// A tap of a channel, which a row of the matrix of windows belongs to, and a column of the weight. Taps are
/// numbered by channels of a group, then down, then across.
struct TapNumber {
  int channel, i, j;

  __device__ TapNumber(const WindowAxis& down, const WindowAxis& across, int64_t of) {
    const int number = static_cast<int>(of);
    channel = number / across.taps / down.taps;
    i = number / across.taps % down.taps;
    j = number % across.taps;
  }
};

/// Where a tap lies, from the first pixel of a window.
struct alignas(16) Tap {
  int offset, y, x;

  __device__ static Tap of(const WindowAxis& down, const WindowAxis& across, const TapNumber& number) {
    const int y = number.i * down.step, x = number.j * across.step;
    return {(number.channel * down.pixels + y) * across.pixels + x, y, x};
  }
  /// The tap of the next number. It takes no division.
  __device__ void advance(const WindowAxis& down, const WindowAxis& across) {
    const int last_x = across.taps * across.step, last_y = down.taps * down.step;
    x += across.step;
    offset += across.step;
    if (x != last_x) return;
    x = 0;
    y += down.step;
    offset += down.step * across.pixels - last_x;
    if (y != last_y) return;
    y = 0;
    offset += (down.pixels - last_y) * across.pixels;
  }
};

/// A convolution as products of matrices, an argument of the kernel. Extents, windows of all images, and
/// elements of an image and of the weight, are less than kMostProductExtent.
struct ConvolutionProduct {
  const float *images, *weight, *bias;  // bias: may be null
  float* result;
  WindowAxis down, across;
  int batch, groups, channels, rows;  // of a group: channels of the images, and of the result
  int phases, phases_across;          // phases_across 0: no gradient
  int kernel_w;                       // of the whole kernel
  int weight_channel;                 // from one channel of the images to the next
  int64_t weight_row, weight_group;   // from one channel of the result, from one group to the next
  int64_t result_w, result_plane;     // elements of a row, of a channel
  int64_t result_count;               // of all of it: from one part of K to the next

  /// What the entry of a batch of products has: a group, and a phase.
  __device__ int group_of(unsigned entry) const { return static_cast<int>(entry) / phases; }
  __device__ void choose(unsigned entry) {
    weight += group_of(entry) * weight_group;
    if (phases_across == 0) return;
    const int phase = static_cast<int>(entry) % phases;
    down = down.of_phase(phase / phases_across);
    across = across.of_phase(phase % phases_across);
  }

  __device__ int64_t k_count() const { return int64_t{channels} * down.taps * across.taps; }
  /// The position in a row of the weight that belongs to a tap.
  __device__ int weight_at(int64_t k) const {
    const TapNumber of(down, across, k);
    return of.channel * weight_channel + (down.first_tap + of.i * down.tap_step) * kernel_w +
           across.first_tap + of.j * across.tap_step;
  }
};
inline constexpr int64_t kMostProductExtent = int64_t{1} << 28;

/// A column of the matrix of windows.
struct WindowColumn {
  int y = -kNoPixel, x = 0;  // of its first pixel, which may be padding
  int64_t offset = 0;        // of that pixel, in the images
  int64_t result = -1;       // of the element in the first row of the result; -1: there is none

  __device__ WindowColumn(const ConvolutionProduct& p, int group, int64_t column) {
    const int windows = p.down.windows * p.across.windows;
    if (column >= int64_t{p.batch} * windows) return;
    const int64_t entry = column / windows * p.groups + group;
    const int number = static_cast<int>(column % windows), i = number / p.across.windows,
              j = number % p.across.windows;
    y = p.down.first_pixel(i);
    x = p.across.first_pixel(j);
    offset = (entry * p.channels * p.down.pixels + y) * p.across.pixels + x;
    result = entry * p.rows * p.result_plane + (p.down.first_result + i * p.down.result_step) * p.result_w +
             p.across.first_result + j * p.across.result_step;
  }
};

/// As for_each_tile() does for operands that lie as matrices, multiplies the tiles of K, one after another.
/// gather(a's tile, b's tile, their first k) asks for them.
template <typename Tile, typename Sums, typename Gather>
__device__ void multiply_gathered(SharedVector* memory, const BlockTile& tile, Sums& sums, Gather gather) {
  using ATile = typename Sums::ATile;
  using BTile = typename Sums::BTile;
  static_assert(Tile::kStages == 2);
  SharedVector* const b_memory = memory + 2 * ATile::kVectors;
  const auto tiles = static_cast<unsigned>(
      tile.last_k > tile.first_k ? (tile.last_k - tile.first_k + Tile::kK - 1) / Tile::kK : 0);
  const auto a_tile = [&](unsigned t) { return ATile{memory + t % 2 * ATile::kVectors}; };
  const auto b_tile = [&](unsigned t) { return BTile{b_memory + t % 2 * BTile::kVectors}; };
  const auto prefetch = [&](unsigned t) {
    if (t < tiles) gather(a_tile(t), b_tile(t), tile.first_k + int64_t{t} * Tile::kK);
    copy_async_commit();
  };
  prefetch(0);
  for (unsigned t = 0; t < tiles; ++t) {
    copy_async_wait<0>();
    __syncthreads();
    prefetch(t + 1);
    sums.multiply(a_tile(t), b_tile(t), t);
  }
  sums.add_parts();
}

/// Where shared memory keeps the element (row, column) of a tile's rows.
template <typename OfTile>
__device__ uint32_t* word_of(const OfTile& tile, unsigned row, unsigned column) {
  return &tile.vector_at(row, column)->words[column % 4];
}

template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    convolve_by_product(ConvolutionProduct p, ProductShape shape) {
  using Sums = RegisterSums<Tile, true, false>;
  constexpr unsigned kK = Tile::kK, kN = Tile::kN, kThreads = Tile::kThreads;
  static_assert(kThreads % kN == 0 && kThreads % kK == 0);  // a thread gathers for one window
  SHARED(SharedVector, memory, [Tile::kSharedBytes / sizeof(SharedVector)]);
  BlockTile tile = BlockTile::of<Tile>(shape);
  const int group = p.group_of(tile.entry);
  p.choose(tile.entry);
  if (tile.last_k > p.k_count()) tile.last_k = p.k_count();
  const unsigned column = threadIdx.x % kN, turn = threadIdx.x / kN;
  const WindowColumn window(p, group, tile.column + column);
  Tap tap = {};  // the next one to be gathered
  if (tile.first_k < tile.last_k) tap = Tap::of(p.down, p.across, TapNumber(p.down, p.across, tile.first_k));

  const auto gather_weight = [&](const typename Sums::ATile& to, int64_t first_k) {
    const unsigned k = threadIdx.x % kK;
    const bool has_tap = first_k + k < tile.last_k;
    const int at = has_tap ? p.weight_at(first_k + k) : 0;
    for (unsigned i = threadIdx.x / kK; i < Tile::kM; i += kThreads / kK) {
      const bool inside = has_tap && tile.row + i < shape.m;
      copy_async<4>(word_of(to, i, k), p.weight + (inside ? (tile.row + i) * p.weight_row + at : 0),
                    inside ? 4 : 0);
    }
  };
  const auto gather_windows = [&](const typename Sums::BTile& to, int64_t first_k) {
    for (unsigned k = 0; k < kK; ++k) {
      if (k % (kThreads / kN) == turn) {
        const bool inside =
            first_k + k < tile.last_k && p.down.has(window.y + tap.y) && p.across.has(window.x + tap.x);
        copy_async<4>(word_of(to, k, column), p.images + (inside ? window.offset + tap.offset : 0),
                      inside ? 4 : 0);
      }
      tap.advance(p.down, p.across);
    }
  };

  Sums sums;
  multiply_gathered<Tile>(memory, tile, sums, [&](const auto& a_tile, const auto& b_tile, int64_t first_k) {
    gather_weight(a_tile, first_k);
    gather_windows(b_tile, first_k);
  });
  staged_rows<Tile>(
      memory, [&](float* staged, unsigned first) { sums.put(staged, first); },
      [&](const float& sum, unsigned i, unsigned) {
        const int64_t row = tile.row + i;
        if (row >= shape.m || window.result < 0) return;
        p.result[blockIdx.y * p.result_count + window.result + row * p.result_plane] =
            p.bias ? sum + p.bias[group * p.rows + row] : sum;
      });
}

// ---- The host's side ----

inline WindowAxis window_axis(int64_t pixels, int64_t windows, int64_t stride, int64_t padding, int64_t taps,
                              int64_t dilation) {
  return {.pixels = static_cast<int>(pixels),
          .windows = static_cast<int>(windows),
          .stride = static_cast<int>(stride),
          .first = static_cast<int>(-padding),
          .taps = static_cast<int>(taps),
          .step = static_cast<int>(dilation),
          .common = static_cast<int>(std::gcd(stride, dilation))};
}
inline WindowAxis axis_down(const Extents& e) {
  const ConvolutionOptions& o = e.options;
  return window_axis(e.height, e.rows, o.stride_h, o.top, e.kernel_h, o.dilation_h);
}
inline WindowAxis axis_across(const Extents& e) {
  const ConvolutionOptions& o = e.options;
  return window_axis(e.width, e.columns, o.stride_w, o.left, e.kernel_w, o.dilation_w);
}

/// A convolution of x [batch, ...], and the shape of its products, one a group.
inline ConvolutionProduct forward_product(const Extents& e, const Tensor& x, const Tensor& weight) {
  const int64_t taps = e.kernel_h * e.kernel_w;
  return {.images = elements_of<const float>(x),
          .weight = elements_of<const float>(weight),
          .down = axis_down(e),
          .across = axis_across(e),
          .batch = static_cast<int>(x.size(0)),
          .groups = static_cast<int>(e.options.groups),
          .channels = static_cast<int>(e.group_channels()),
          .rows = static_cast<int>(e.group_outs()),
          .phases = 1,
          .kernel_w = static_cast<int>(e.kernel_w),
          .weight_channel = static_cast<int>(taps),
          .weight_row = e.group_channels() * taps,
          .weight_group = e.group_outs() * e.group_channels() * taps,
          .result_w = e.columns,
          .result_plane = e.rows * e.columns,
          .result_count = x.size(0) * e.outs * e.rows * e.columns};
}
inline ProductShape forward_shape(const Extents& e, int64_t batch) {
  return {e.group_outs(), batch * e.rows * e.columns, e.group_channels() * e.kernel_h * e.kernel_w,
          e.options.groups};
}

}  // namespace haze::HAZE_KERNELS
