#pragma once

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/vector.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/attention.h"

/// Products of tiles in shared memory, of which attention by tiles is made. A block has 16 x 8 threads.
/// Thread (x, y) finds rows 8 y, 8 y + 1, ..., 8 y + 7 of a product, and some of its columns: a *register
/// tile*. A number that it loads from shared memory is used 4 or 8 times.
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kTileX = 16, kTileY = 8, kTileThreads = kTileX * kTileY;
/// In registers: 8 of float, 4 of double.
template <typename W>
inline constexpr unsigned kRowsOfThread = 32 / sizeof(W);
template <typename W>
inline constexpr unsigned kTileRows = kTileY* kRowsOfThread<W>;

/// Elements from a row of a tile to the next. 8 rows one below the other begin in 8 different groups of 4
/// banks.
template <typename W, unsigned kColumns>
inline constexpr unsigned kTilePitch = kColumns + kWidest<W>;

/// The row of its tile that holds row k of 16 kOfThread rows. Thread x of a product has the columns kOfThread
/// x, kOfThread x + 1, ...; threads side by side then read rows of the tile that lie one below the other.
template <unsigned kOfThread>
__device__ unsigned interleaved(unsigned k) {
  return k % kOfThread * kTileX + k / kOfThread;
}

/// The column of a head that thread x has as its c-th, of kSize / 16.
template <typename W, unsigned kSize>
__device__ unsigned column_of_head(unsigned c) {
  constexpr unsigned kOfThread = kSize / kTileX, kAdjacent = kOfThread < kWidest<W> ? kOfThread : kWidest<W>;
  return c / kAdjacent * kTileX * kAdjacent + threadIdx.x * kAdjacent + c % kAdjacent;
}

/// sums[r][c] += the product of row 8 y + r of x and row kOfThread x + c of y, which is interleaved.
template <unsigned kSize, unsigned kOfThread, typename W>
__device__ void add_products(W (&sums)[kRowsOfThread<W>][kOfThread], const W* x, const W* y) {
  constexpr unsigned kPitch = kTilePitch<W, kSize>, kVector = kWidest<W>;
  x += threadIdx.y * kRowsOfThread<W> * kPitch;
  y += threadIdx.x * kPitch;
#pragma unroll 2
  for (unsigned d = 0; d < kSize; d += kVector) {
    Vector<W, kVector> of_y[kOfThread];
#pragma unroll
    for (unsigned c = 0; c < kOfThread; ++c)
      of_y[c] = load_vector(vectors<kVector>(y + c * kTileX * kPitch + d));
#pragma unroll
    for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
      const auto of_x = load_vector(vectors<kVector>(x + r * kPitch + d));
#pragma unroll
      for (unsigned c = 0; c < kOfThread; ++c) {
#pragma unroll
        for (unsigned v = 0; v < kVector; ++v) sums[r][c] += of_x.of[v] * of_y[c].of[v];
      }
    }
  }
}

/// sums[r][c] += the sum over k of weights[8 y + r][k] times column column_of_head(c) of row k of `values`,
/// which is interleaved.
template <unsigned kSize, unsigned kOfThread, typename W>
__device__ void add_weighted(W (&sums)[kRowsOfThread<W>][kSize / kTileX], const W* weights, const W* values) {
  constexpr unsigned kPitch = kTilePitch<W, kSize>, kVector = kWidest<W>;
  constexpr unsigned kColumns = kSize / kTileX, kAdjacent = kColumns < kVector ? kColumns : kVector;
  constexpr unsigned kWeights = kTileX * kOfThread, kWeightsPitch = kTilePitch<W, kWeights>;
  weights += threadIdx.y * kRowsOfThread<W> * kWeightsPitch;
#pragma unroll 2
  for (unsigned k = 0; k < kWeights; k += kVector) {
    Vector<W, kVector> of_row[kRowsOfThread<W>];
#pragma unroll
    for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
      of_row[r] = load_vector(vectors<kVector>(weights + r * kWeightsPitch + k));
    }
#pragma unroll
    for (unsigned v = 0; v < kVector; ++v) {
      const W* const row = values + interleaved<kOfThread>(k + v) * kPitch;
#pragma unroll
      for (unsigned first = 0; first < kColumns; first += kAdjacent) {
        const auto value = load_vector(vectors<kAdjacent>(row + column_of_head<W, kSize>(first)));
#pragma unroll
        for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
#pragma unroll
          for (unsigned c = 0; c < kAdjacent; ++c) sums[r][first + c] += of_row[r].of[v] * value.of[c];
        }
      }
    }
  }
}

/// The register tile of a product to shared memory, as the weights of add_weighted().
template <unsigned kOfThread, typename W>
__device__ void store_weights(const W (&of_thread)[kRowsOfThread<W>][kOfThread], W* weights) {
  constexpr unsigned kPitch = kTilePitch<W, kTileX * kOfThread>;
  constexpr unsigned kAdjacent = kOfThread < kWidest<W> ? kOfThread : kWidest<W>;
  weights += threadIdx.y * kRowsOfThread<W> * kPitch + threadIdx.x * kOfThread;
#pragma unroll
  for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
#pragma unroll
    for (unsigned first = 0; first < kOfThread; first += kAdjacent) {
      Vector<W, kAdjacent> some;
#pragma unroll
      for (unsigned c = 0; c < kAdjacent; ++c) some.of[c] = of_thread[r][first + c];
      store_vector(vectors<kAdjacent>(weights + r * kPitch + first), some);
    }
  }
}

/// x [batch, rows, heads, size] with unit stride on the last axis, as an argument of a kernel.
template <typename T>
struct HeadRows {
  T* elements;
  int64_t batch_stride, row_stride, head_stride;
  bool vectors;  // whether the rows of all heads begin at multiples of 16 bytes

  HeadRows(const Tensor& x, int64_t of_batch, int64_t of_row, int64_t of_head)
      : elements(elements_of<T>(x)), batch_stride(of_batch), row_stride(of_row), head_stride(of_head) {
    constexpr int64_t kVector = 16 / sizeof(T);
    vectors = reinterpret_cast<uintptr_t>(elements) % 16 == 0 && batch_stride % kVector == 0 &&
              row_stride % kVector == 0 && head_stride % kVector == 0;
  }
  __device__ T* at(int64_t batch, int64_t row, int64_t head) const {
    return elements + batch * batch_stride + row * row_stride + head * head_stride;
  }
};

/// kRows rows of kSize elements to a tile. Rows from `rows` on, and elements from `size` on, are zeros.
/// kOfThread is that of an interleaved tile, 1 for rows in their order.
template <unsigned kRows, unsigned kSize, unsigned kOfThread, typename T>
__device__ void load_tile(const T* from, int64_t row_stride, int64_t rows, int64_t size, Wide<T>* tile) {
  using W = Wide<T>;
  for (unsigned i = threadIdx.y * kTileX + threadIdx.x; i < kRows * kSize; i += kTileThreads) {
    const unsigned row = i / kSize, d = i % kSize;
    const unsigned to = kOfThread == 1 ? row : interleaved<kOfThread>(row);
    tile[to * kTilePitch<W, kSize> + d] = row < rows && d < size ? W(from[row * row_stride + d]) : W(0);
  }
}

/// The thread's elements of a row of a head: from column_of_head(0) on. Elements from `size` on are left out.
template <unsigned kSize, typename W, typename T>
__device__ void store_row(const W (&of_thread)[kSize / kTileX], T* to, int64_t size, bool by_vectors) {
  constexpr unsigned kOfThread = kSize / kTileX, kAdjacent = kOfThread < kWidest<W> ? kOfThread : kWidest<W>;
#pragma unroll
  for (unsigned first = 0; first < kOfThread; first += kAdjacent) {
    const unsigned d = column_of_head<W, kSize>(first);
    if (kAdjacent > 1 && by_vectors && d + kAdjacent <= size) {
      Vector<T, kAdjacent> some;
#pragma unroll
      for (unsigned c = 0; c < kAdjacent; ++c) some.of[c] = T(of_thread[first + c]);
      store_vector(vectors<kAdjacent>(to + d), some);
      continue;
    }
#pragma unroll
    for (unsigned c = 0; c < kAdjacent; ++c) {
      if (d + c < size) to[d + c] = T(of_thread[first + c]);
    }
  }
}

/// Calls f with the smallest of the head sizes kLeast, 2 kLeast, ..., kMost that is at least `size`. The
/// largest stands for all beyond.
template <unsigned kLeast, unsigned kMost, typename F>
void with_head_size(int64_t size, F&& f) {
  if constexpr (kLeast < kMost) {
    if (size > kLeast) return with_head_size<2 * kLeast, kMost>(size, f);
  }
  f(std::integral_constant<unsigned, kLeast>());
}

}  // namespace haze::HAZE_KERNELS
