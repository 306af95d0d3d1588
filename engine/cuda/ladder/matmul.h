#pragma once

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/vector.h"

/// The matrix product, which is all about reuse: 2 m n k operations on m k + k n numbers. Each rung reads a
/// number from far away less often, and uses it more often when it is near. The rungs below take any shape.
/// matmul_tensor_cores.h has the last ones.
namespace haze::HAZE_KERNELS {

/// out [batch, m, n] = a [batch, m, k] b [batch, k, n].
struct ProductShape {
  int64_t m, n, k, batch = 1;
  int64_t k_each = k;  // of a part of K, a multiple of every tile's; block y has part y
};

/// The use of a sum: it is stored. An epilogue has the same members.
struct PlainStore {
  float* out;

  __device__ float of(float sum, int64_t, int64_t) const { return sum; }
};

// Rung 1. A thread has an element of the result. A warp reads one number of a and 32 neighbours of b for 32
// products.
inline constexpr simt::Extent kNaiveThreads{32, 8};

template <typename S>
__global__ void matmul_naive(const S* a, const S* b, float* out, ProductShape shape) {
  const int64_t row = int64_t{blockIdx.y} * kNaiveThreads.y + threadIdx.y,
                column = int64_t{blockIdx.x} * kNaiveThreads.x + threadIdx.x;
  if (row >= shape.m || column >= shape.n) return;
  float sum = 0;
  for (int64_t k = 0; k < shape.k; ++k) {
    sum += converted<float>(a[row * shape.k + k]) * converted<float>(b[k * shape.n + column]);
  }
  out[row * shape.n + column] = sum;
}

// Rung 2. A block has a tile of 32 x 32 elements. It brings a tile of a and one of b to shared memory, and
// uses each number in them 32 times.
inline constexpr unsigned kSharedTile = 32;

template <typename S>
__global__ void __launch_bounds__(kSharedTile* kSharedTile)
    matmul_shared_tiles(const S* a, const S* b, float* out, ProductShape shape) {
  SHARED(float, a_tile, [kSharedTile][kSharedTile]);
  SHARED(float, b_tile, [kSharedTile][kSharedTile]);
  const unsigned x = threadIdx.x, y = threadIdx.y;
  const int64_t row = int64_t{blockIdx.y} * kSharedTile + y, column = int64_t{blockIdx.x} * kSharedTile + x;
  float sum = 0;
  for (int64_t k = 0; k < shape.k; k += kSharedTile) {
    a_tile[y][x] = row < shape.m && k + x < shape.k ? converted<float>(a[row * shape.k + k + x]) : 0;
    b_tile[y][x] = k + y < shape.k && column < shape.n ? converted<float>(b[(k + y) * shape.n + column]) : 0;
    __syncthreads();
    float of_tile = 0;  // a sum of sums: its rounding errors are a fraction of those of one long sum
    for (unsigned i = 0; i < kSharedTile; ++i) of_tile += a_tile[y][i] * b_tile[i][x];
    sum += of_tile;
    __syncthreads();
  }
  if (row < shape.m && column < shape.n) out[row * shape.n + column] = sum;
}

// Rung 3. A thread has 4 x 4 elements, in rows 4 y, ... and columns x, x + 16, ... of a tile of 64 x 64. For
// each k it reads 4 + 4 numbers from shared memory and does 16 products.
inline constexpr unsigned kRegisterTile = 64, kRegisterK = 16, kRegisterThreads = 16, kRegisterEach = 4;

template <typename S>
__global__ void __launch_bounds__(kRegisterThreads* kRegisterThreads)
    matmul_register_tiles(const S* a, const S* b, float* out, ProductShape shape) {
  // Two numbers more a row: what a warp writes, 16 k of two rows of a, then lies in 32 banks.
  SHARED(float, a_tile, [kRegisterK][kRegisterTile + 2]);
  SHARED(float, b_tile, [kRegisterK][kRegisterTile]);
  const unsigned x = threadIdx.x, y = threadIdx.y, thread = y * kRegisterThreads + x;
  const int64_t first_row = int64_t{blockIdx.y} * kRegisterTile,
                first_column = int64_t{blockIdx.x} * kRegisterTile;
  float sums[kRegisterEach][kRegisterEach] = {};
  for (int64_t first_k = 0; first_k < shape.k; first_k += kRegisterK) {
    for (unsigned i = thread; i < kRegisterTile * kRegisterK; i += kRegisterThreads * kRegisterThreads) {
      const int64_t row = first_row + i / kRegisterK, a_k = first_k + i % kRegisterK;
      a_tile[i % kRegisterK][i / kRegisterK] =
          row < shape.m && a_k < shape.k ? converted<float>(a[row * shape.k + a_k]) : 0;
      const int64_t column = first_column + i % kRegisterTile, b_k = first_k + i / kRegisterTile;
      b_tile[i / kRegisterTile][i % kRegisterTile] =
          b_k < shape.k && column < shape.n ? converted<float>(b[b_k * shape.n + column]) : 0;
    }
    __syncthreads();
    float of_tile[kRegisterEach][kRegisterEach] = {};
    for (unsigned k = 0; k < kRegisterK; ++k) {
      float a_values[kRegisterEach], b_values[kRegisterEach];
      for (unsigned i = 0; i < kRegisterEach; ++i) a_values[i] = a_tile[k][y * kRegisterEach + i];
      for (unsigned j = 0; j < kRegisterEach; ++j) b_values[j] = b_tile[k][x + j * kRegisterThreads];
      for (unsigned i = 0; i < kRegisterEach; ++i) {
        for (unsigned j = 0; j < kRegisterEach; ++j) of_tile[i][j] += a_values[i] * b_values[j];
      }
    }
    for (unsigned i = 0; i < kRegisterEach; ++i) {
      for (unsigned j = 0; j < kRegisterEach; ++j) sums[i][j] += of_tile[i][j];
    }
    __syncthreads();
  }
  for (unsigned i = 0; i < kRegisterEach; ++i) {
    for (unsigned j = 0; j < kRegisterEach; ++j) {
      const int64_t row = first_row + y * kRegisterEach + i, column = first_column + x + j * kRegisterThreads;
      if (row < shape.m && column < shape.n) out[row * shape.n + column] = sums[i][j];
    }
  }
}

// From here on, a kernel also serves the operation matmul: operands may be transposed and in a batch, K may
// be split, and an epilogue may follow.

/// An operand of a product. `extent` is that of its rows, for a, or its columns, for b; `stride` belongs to
/// it.
template <typename S>
struct Operand {
  const S* elements;
  int64_t extent, stride, k_stride, step;  // step: from one entry of the batch to the next
  bool vectors;  // whether 16 bytes may be read at once, along K or along the extent
};

/// A block's part of a product.
struct BlockTile {
  unsigned entry;  // of the batch
  int64_t row, column;
  int64_t first_k, last_k;

  template <typename Tile>
  __device__ static BlockTile of(const ProductShape& shape) {
    const auto across = static_cast<unsigned>((shape.n + Tile::kN - 1) / Tile::kN),
               down = static_cast<unsigned>((shape.m + Tile::kM - 1) / Tile::kM);
    const int64_t first_k = blockIdx.y * shape.k_each;
    return {.entry = blockIdx.x / across / down,
            .row = int64_t{blockIdx.x / across % down} * Tile::kM,
            .column = int64_t{blockIdx.x % across} * Tile::kN,
            .first_k = first_k,
            .last_k = first_k + shape.k_each < shape.k ? first_k + shape.k_each : shape.k};
  }
};

template <typename Tile>
simt::LaunchShape product_launch(const ProductShape& shape) {
  const int64_t across = (shape.n + Tile::kN - 1) / Tile::kN, down = (shape.m + Tile::kM - 1) / Tile::kM;
  const int64_t parts = shape.k == 0 ? 1 : (shape.k + shape.k_each - 1) / shape.k_each;
  return {{static_cast<unsigned>(shape.batch * across * down), static_cast<unsigned>(parts)},
          {Tile::kThreads}};
}

/// 16 bytes, which shared memory and copies know as one.
struct alignas(16) SharedVector {
  uint32_t words[4];
};

/// A tile of an operand in shared memory, kExtent by kK. Its rows are those along which the operand is
/// contiguous: along K, or along the extent. Vectors of 16 bytes are permuted within a row (*swizzled*) so
/// that the same vector of 8 neighbouring rows lies in 32 banks.
template <typename S, bool kAlongK, unsigned kExtent, unsigned kK>
struct OperandTile {
  static constexpr unsigned kVector = 16 / sizeof(S);  // elements of a vector
  static constexpr unsigned kRow = (kAlongK ? kK : kExtent) / kVector, kVectors = kExtent * kK / kVector;
  static_assert(kRow == 4 || kRow % 8 == 0);

  SharedVector* memory;  // kVectors

  /// The vector that holds element (i, k) of the operand.
  __device__ SharedVector* at(unsigned i, unsigned k) const {
    return kAlongK ? vector_at(i, k) : vector_at(k, i);
  }
  /// The one that holds a column of a row of the tile.
  __device__ SharedVector* vector_at(unsigned row, unsigned column) const {
    const unsigned flipped = kRow == 4 ? row / 2 % 4 : row % 4 * 2 + row / 4 % 2;
    return memory + row * kRow + (column / kVector ^ flipped);
  }

  /// Asks for the tile of x that begins at (first, first_k). Outside x and beyond last_k there are zeros.
  template <unsigned kThreads>
  __device__ void copy_from(const Operand<S>& x, int64_t first, int64_t first_k, int64_t last_k) const {
    const unsigned i_count = within(x.extent - first, kExtent), k_count = within(last_k - first_k, kK);
    const unsigned rows = kAlongK ? i_count : k_count, columns = kAlongK ? k_count : i_count;
    const int64_t row_stride = kAlongK ? x.stride : x.k_stride;
    const S* const corner = x.elements + first * x.stride + first_k * x.k_stride;
    if constexpr (sizeof(S) == 4) {
      if (!x.vectors) {
        const int64_t column_stride = kAlongK ? x.k_stride : x.stride;
        for (unsigned e = threadIdx.x; e < kVectors * kVector; e += kThreads) {
          const unsigned row = e / (kRow * kVector), column = e % (kRow * kVector);
          const bool inside = row < rows && column < columns;
          const S* const from = inside ? corner + row * row_stride + column * column_stride : corner;
          copy_async<4>(&vector_at(row, column)->words[column % kVector], from, inside ? 4 : 0);
        }
        return;
      }
    }
    for (unsigned v = threadIdx.x; v < kVectors; v += kThreads) {
      const unsigned row = v / kRow, column = v % kRow * kVector;
      const unsigned valid = row < rows && column < columns ? within(columns - column, kVector) : 0;
      const S* const from = valid > 0 ? corner + row * row_stride + column : corner;
      copy_async<16>(vector_at(row, column), from, valid * sizeof(S));
    }
  }

 private:
  __device__ static unsigned within(int64_t count, unsigned most) {
    return count < most ? static_cast<unsigned>(count) : most;
  }
};

/// Calls multiply(a's tile, b's tile, its number) for each tile of K. `memory` holds kStages tiles of both.
/// The kStages - 1 tiles behind the current one are on their way meanwhile. One barrier a tile: who has
/// passed it knows that all have read the tile before, whose place the next copies take.
template <typename Tile, typename ATile, typename BTile, typename S, typename F>
__device__ void for_each_tile(SharedVector* memory, const Operand<S>& a, const Operand<S>& b,
                              const BlockTile& tile, F multiply) {
  constexpr unsigned kStages = Tile::kStages;
  SharedVector* const b_memory = memory + kStages * ATile::kVectors;
  const auto tiles = static_cast<unsigned>((tile.last_k - tile.first_k + Tile::kK - 1) / Tile::kK);
  const auto a_tile = [&](unsigned t) { return ATile{memory + t % kStages * ATile::kVectors}; };
  const auto b_tile = [&](unsigned t) { return BTile{b_memory + t % kStages * BTile::kVectors}; };
  const auto prefetch = [&](unsigned t) {
    if (t < tiles) {
      const int64_t k = tile.first_k + int64_t{t} * Tile::kK;
      a_tile(t).template copy_from<Tile::kThreads>(a, tile.row, k, tile.last_k);
      b_tile(t).template copy_from<Tile::kThreads>(b, tile.column, k, tile.last_k);
    }
    copy_async_commit();
  };
  for (unsigned t = 0; t + 1 < kStages; ++t) prefetch(t);
  for (unsigned t = 0; t < tiles; ++t) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
    prefetch(t + kStages - 1);
    multiply(a_tile(t), b_tile(t), t);
  }
}

/// Calls each(sum, row and column in the tile) for the sums of a block's tile. They go through shared memory,
/// kPassRows rows at a time, so that a warp has 32 neighbours of a row. put(sums, first) writes to sums
/// [kPassRows, kPitch] what the thread has of the kPassRows rows from `first` on.
template <typename Tile, typename Put, typename Each>
__device__ void staged_rows(SharedVector* memory, Put put, Each each) {
  static_assert(Tile::kPassRows * Tile::kPitch * sizeof(float) <= Tile::kSharedBytes);
  for (unsigned first = 0; first < Tile::kM; first += Tile::kPassRows) {
    auto* const sums = reinterpret_cast<float*>(memory);
    __syncthreads();  // all have read what is there
    put(sums, first);
    __syncthreads();
    for (unsigned e = threadIdx.x; e < Tile::kPassRows * Tile::kN; e += Tile::kThreads) {
      const unsigned i = e / Tile::kN, j = e % Tile::kN;
      each(sums[i * Tile::kPitch + j], first + i, j);
    }
  }
}

/// Brings the sums of a block's tile to the result, with the epilogue, which reads its operands the same way.
template <typename Tile, typename Finish, typename F>
__device__ void finish_tile(SharedVector* memory, const BlockTile& tile, const ProductShape& shape,
                            const Finish& finish, F put) {
  const int64_t first_number = (blockIdx.y * shape.batch + tile.entry) * shape.m * shape.n;
  staged_rows<Tile>(memory, put, [&](const float& sum, unsigned i, unsigned j) {
    const int64_t row = tile.row + i, column = tile.column + j;
    if (row >= shape.m || column >= shape.n) return;
    const int64_t number = first_number + row * shape.n + column;
    finish.out[number] = finish.of(sum, number, column);
  });
}

// Rung 4. A thread has 8 x 8 elements of a tile of 128 x 128, and reads shared memory by vectors of 16 bytes.
// Copies to shared memory need no register and wait for nobody: the next tile comes while this one is
// multiplied.
template <unsigned kRows, unsigned kColumns, unsigned kThread>
struct RegisterTile {
  static constexpr unsigned kM = kRows, kN = kColumns, kK = 16, kStages = 2;
  static constexpr unsigned kEach = kThread;  // rows and columns of a thread
  static constexpr unsigned kDown = kM / kEach, kAcross = kN / kEach, kThreads = kDown * kAcross;
  static constexpr unsigned kBlocks = 1;  // a multiprocessor, at least
  static constexpr unsigned kSharedBytes = kStages * (kM + kN) * kK * sizeof(float);
  static constexpr unsigned kPassRows = 4 * kDown, kPitch = kN;  // of finish_tile
};
using LargeRegisterTile = RegisterTile<128, 128, 8>;
using WideRegisterTile = RegisterTile<64, 128, 8>;  // for few rows
using SmallRegisterTile = RegisterTile<32, 32, 4>;  // for small results

/// Element `number` of those that thread `thread` of `threads` has along the extent. They come in groups of 4
/// neighbours where the tile's rows lie along it, else one by one, so that neighbouring threads read
/// neighbouring rows.
template <bool kAlongK>
__device__ unsigned element_of_thread(unsigned thread, unsigned threads, unsigned number) {
  return kAlongK ? thread + number * threads : (number / 4 * threads + thread) * 4 + number % 4;
}

/// A thread's elements for k, ..., k + 3.
template <unsigned kEach, bool kAlongK, typename Tile>
__device__ void read_four(const Tile& tile, unsigned thread, unsigned threads, unsigned k,
                          float (&values)[4][kEach]) {
  const auto vector_at = [&](unsigned i, unsigned of_k) {
    return load_vector(reinterpret_cast<const Vector<float, 4>*>(tile.at(i, of_k)));
  };
  if constexpr (kAlongK) {
    for (unsigned i = 0; i < kEach; ++i) {
      const Vector<float, 4> read = vector_at(element_of_thread<true>(thread, threads, i), k);
      for (unsigned j = 0; j < 4; ++j) values[j][i] = read.of[j];
    }
  } else {
    for (unsigned j = 0; j < 4; ++j) {
      for (unsigned i = 0; i < kEach; i += 4) {
        const Vector<float, 4> read = vector_at(element_of_thread<false>(thread, threads, i), k + j);
        for (unsigned h = 0; h < 4; ++h) values[j][i + h] = read.of[h];
      }
    }
  }
}

/// A thread's part of a block's tile: kEach x kEach sums, in registers.
template <typename Tile, bool kAAlongK, bool kBAlongK>
struct RegisterSums {
  static constexpr unsigned kEach = Tile::kEach;
  using ATile = OperandTile<float, kAAlongK, Tile::kM, Tile::kK>;
  using BTile = OperandTile<float, kBAlongK, Tile::kN, Tile::kK>;

  unsigned x = threadIdx.x % Tile::kAcross, y = threadIdx.x / Tile::kAcross;
  float sums[kEach][kEach] = {}, parts[kEach][kEach] = {};

  __device__ void add_parts() {  // a sum of sums, as above
    for (unsigned i = 0; i < kEach; ++i) {
      for (unsigned j = 0; j < kEach; ++j) {
        sums[i][j] += parts[i][j];
        parts[i][j] = 0;
      }
    }
  }

  /// Adds the products of tile `number` of K. add_parts() follows the last one.
  __device__ void multiply(const ATile& a_tile, const BTile& b_tile, unsigned number) {
    for (unsigned k = 0; k < Tile::kK; k += 4) {
      float a_values[4][kEach], b_values[4][kEach];
      read_four<kEach, kAAlongK>(a_tile, y, Tile::kDown, k, a_values);
      read_four<kEach, kBAlongK>(b_tile, x, Tile::kAcross, k, b_values);
      for (unsigned l = 0; l < 4; ++l) {
        for (unsigned i = 0; i < kEach; ++i) {
          for (unsigned j = 0; j < kEach; ++j) parts[i][j] += a_values[l][i] * b_values[l][j];
        }
      }
    }
    if (number % 2 == 1) add_parts();
  }

  /// Writes those in rows first, ..., first + kPassRows - 1 of the tile to `staged`, as staged_rows() asks
  /// for.
  __device__ void put(float* staged, unsigned first) const {
    constexpr unsigned kTogether = kBAlongK ? 1 : 4;
    for (unsigned i = 0; i < kEach; ++i) {
      const unsigned row = element_of_thread<kAAlongK>(y, Tile::kDown, i) - first;
      if (row >= Tile::kPassRows) continue;
      for (unsigned j = 0; j < kEach; j += kTogether) {
        float* const to = &staged[row * Tile::kPitch + element_of_thread<kBAlongK>(x, Tile::kAcross, j)];
        if constexpr (kTogether == 1) {
          *to = sums[i][j];
        } else {
          store_vector(vectors<4>(to),
                       Vector<float, 4>{{sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]}});
        }
      }
    }
  }
};

template <typename Tile, bool kAAlongK, bool kBAlongK, typename Finish>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    matmul_async_copies(Operand<float> a, Operand<float> b, ProductShape shape, Finish finish) {
  using Sums = RegisterSums<Tile, kAAlongK, kBAlongK>;
  SHARED(SharedVector, memory, [Tile::kSharedBytes / sizeof(SharedVector)]);
  const BlockTile tile = BlockTile::of<Tile>(shape);
  a.elements += tile.entry * a.step;
  b.elements += tile.entry * b.step;
  Sums sums;
  for_each_tile<Tile, typename Sums::ATile, typename Sums::BTile>(
      memory, a, b, tile,
      [&](const typename Sums::ATile& a_tile, const typename Sums::BTile& b_tile, unsigned number) {
        sums.multiply(a_tile, b_tile, number);
      });
  sums.add_parts();
  finish_tile<Tile>(memory, tile, shape, finish,
                    [&](float* staged, unsigned first) { sums.put(staged, first); });
}

}  // namespace haze::HAZE_KERNELS
