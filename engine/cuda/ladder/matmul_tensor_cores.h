#pragma once

#include <bit>

#include "haze/engine/cuda/ladder/matmul.h"

/// The matrix product by tensor cores. A warp holds a tile of the result in its registers and multiplies 16 x
/// 8 elements of it at once, for 16 k of bfloat16 or 8 of tfloat32 (cuda/fragments.h).
namespace haze::HAZE_KERNELS {

/// A block's tile, and that of a warp of it. 64 bytes of K a tile.
template <typename S, unsigned kRows, unsigned kColumns, unsigned kWarpRows, unsigned kWarpColumns>
struct TensorTile {
  static constexpr unsigned kM = kRows, kN = kColumns, kK = 64 / sizeof(S), kStages = 3;
  static constexpr unsigned kWarpM = kWarpRows, kWarpN = kWarpColumns;
  static constexpr unsigned kAcross = kN / kWarpN, kThreads = kM / kWarpM * kAcross * 32;
  static constexpr unsigned kBlocks = 2;  // a multiprocessor, at least: up to 128 registers for 256 threads
  static constexpr unsigned kSharedBytes = kStages * (kM + kN) * 64;
  // Of finish_tile. 8 numbers more a row: the rows of a fragment lie in different banks.
  static constexpr unsigned kPassRows = kM < 64 ? kM : 64, kPitch = kN + 8;
  static constexpr unsigned kHalf = 16 / sizeof(S);  // of the K of one mma: 16 bytes of each row
};
template <typename S>
using LargeTensorTile = TensorTile<S, 128, 128, 64, 32>;
template <typename S>
using SmallTensorTile = TensorTile<S, 32, 32, 32, 16>;

/// What mma multiplies where operands are stored as S.
template <typename S>
using MmaElement = std::conditional_t<std::is_same_v<S, bfloat16>, bfloat16, tfloat32>;

/// The lane's words of four parts of 8 x 16 bytes, for mma: at i, at i + 8, and both 16 bytes of K further.
/// Bits of the part's number say which: kIBit that it is at i + 8, the other that it is further.
template <unsigned kIBit, bool kAlongK, typename Tile>
__device__ void read_parts(const Tile& tile, unsigned i, unsigned k, uint32_t (&words)[4]) {
  const unsigned lane = threadIdx.x % 32, row = lane % 8, part = lane / 8;
  const unsigned i_part = i + (part >> kIBit & 1) * 8, k_part = k + (part >> (1 - kIBit) & 1) * Tile::kVector;
  if constexpr (kAlongK) {
    ldmatrix(words, tile.at(i_part + row, k_part));
  } else {
    ldmatrix_transposed(words, tile.at(i_part, k_part + row));
  }
}

/// The same for float32 whose tile's rows lie along the extent: ldmatrix cannot transpose words.
template <unsigned kIBit, typename Tile>
__device__ void read_words(const Tile& tile, unsigned i, unsigned k, uint32_t (&words)[4]) {
  const unsigned lane = threadIdx.x % 32;
  for (unsigned part = 0; part < 4; ++part) {
    const unsigned i_lane = i + (part >> kIBit & 1) * 8 + lane / 4,
                   k_lane = k + (part >> (1 - kIBit) & 1) * 4 + lane % 4;
    words[part] = tile.at(i_lane, k_lane)->words[i_lane % 4];
  }
}

template <typename S, unsigned kIBit, bool kAlongK, typename Tile>
__device__ void read_fragments(const Tile& tile, unsigned i, unsigned k, uint32_t (&words)[4]) {
  if constexpr (kAlongK || std::is_same_v<S, bfloat16>) {
    read_parts<kIBit, kAlongK>(tile, i, k, words);
  } else {
    read_words<kIBit>(tile, i, k, words);
  }
  if constexpr (!std::is_same_v<S, bfloat16>) {
    for (uint32_t& word : words) word = rounded_to_tfloat32(std::bit_cast<float>(word)).bits;
  }
}

/// A block's tiles come by asynchronous copies, three at a time.
template <typename S, typename Tile, bool kAAlongK, bool kBAlongK, typename Finish>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    matmul_tensor_cores(Operand<S> a, Operand<S> b, ProductShape shape, Finish finish) {
  using T = MmaElement<S>;
  using ATile = OperandTile<S, kAAlongK, Tile::kM, Tile::kK>;
  using BTile = OperandTile<S, kBAlongK, Tile::kN, Tile::kK>;
  constexpr unsigned kRowTiles = Tile::kWarpM / 16, kColumnTiles = Tile::kWarpN / 8;
  SHARED(SharedVector, memory, [Tile::kSharedBytes / sizeof(SharedVector)]);
  const BlockTile tile = BlockTile::of<Tile>(shape);
  a.elements += tile.entry * a.step;
  b.elements += tile.entry * b.step;
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const unsigned warp_row = warp / Tile::kAcross * Tile::kWarpM,
                 warp_column = warp % Tile::kAcross * Tile::kWarpN;

  FragmentC sums[kRowTiles][kColumnTiles];
  const auto multiply = [&](const ATile& a_tile, const BTile& b_tile, unsigned) {
    for (unsigned k = 0; k < Tile::kK; k += 2 * Tile::kHalf) {
      uint32_t b_words[kColumnTiles / 2][4];  // of two fragments
      for (unsigned j = 0; j < kColumnTiles / 2; ++j) {
        read_fragments<S, 1, kBAlongK>(b_tile, warp_column + j * 16, k, b_words[j]);
      }
      for (unsigned i = 0; i < kRowTiles; ++i) {
        FragmentA<T> a_words;
        read_fragments<S, 0, kAAlongK>(a_tile, warp_row + i * 16, k, a_words.words);
        for (unsigned j = 0; j < kColumnTiles; ++j) {
          const uint32_t* const words = &b_words[j / 2][j % 2 * 2];
          mma(sums[i][j], a_words, FragmentB<T>{{words[0], words[1]}});
        }
      }
    }
  };
  for_each_tile<Tile, ATile, BTile>(memory, a, b, tile, multiply);

  finish_tile<Tile>(memory, tile, shape, finish, [&](float* staged, unsigned first) {
    for (unsigned i = 0; i < kRowTiles; ++i) {
      for (unsigned half = 0; half < 4; half += 2) {
        const unsigned row = warp_row + i * 16 + FragmentC::row(lane, half) - first;
        if (row >= Tile::kPassRows) continue;
        for (unsigned j = 0; j < kColumnTiles; ++j) {
          const unsigned column = warp_column + j * 8 + FragmentC::column(lane, half);
          store_vector(vectors<2>(&staged[row * Tile::kPitch + column]),
                       Vector<float, 2>{{sums[i][j].values[half], sums[i][j].values[half + 1]}});
        }
      }
    }
  });
}

}  // namespace haze::HAZE_KERNELS
