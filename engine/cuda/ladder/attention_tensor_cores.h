#pragma once

#include "haze/engine/cuda/ladder/attention.h"
#include "haze/engine/cuda/ladder/matmul_tensor_cores.h"

/// Attention of bfloat16 by tensor cores (Dao 2023, "FlashAttention-2", section 3.3). A warp has 16 queries
/// and goes over all keys: it shares no row with another warp. The scores that mma leaves in the registers of
/// a lane are where the next mma wants its first factor: weights need no shared memory. The next tile of keys
/// and values comes by asynchronous copies while this one is multiplied.
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kTensorThreads = 128, kTensorRows = 16, kTensorKeys = 64, kTensorStages = 2;
static_assert(kTensorThreads / kWarp * kTensorRows == kTileRows<float>);  // the tiles of PlainAttention

/// Tiles in shared memory. Those of values are read as columns.
template <unsigned kSize>
using QueryMatrix = OperandTile<bfloat16, true, kTileRows<float>, kSize>;
template <unsigned kSize>
using KeyMatrix = OperandTile<bfloat16, true, kTensorKeys, kSize>;
template <unsigned kSize>
using ValueMatrix = OperandTile<bfloat16, false, kSize, kTensorKeys>;

template <unsigned kSize>
inline constexpr size_t kBytesOfTensorCores = (QueryMatrix<kSize>::kVectors +
                                               kTensorStages * (KeyMatrix<kSize>::kVectors +
                                                                ValueMatrix<kSize>::kVectors)) *
                                              sizeof(SharedVector);

/// Rows of a head as an operand: along K they have their elements, or, of values, their rows.
__device__ inline Operand<bfloat16> rows_along_k(const bfloat16* first, int64_t rows, int64_t row_stride) {
  return {first, rows, row_stride, 1, 0, true};
}
__device__ inline Operand<bfloat16> rows_along_extent(const bfloat16* first, int64_t size,
                                                      int64_t row_stride) {
  return {first, size, 1, row_stride, 0, true};
}

/// Weights as factors of mma: 16 queries and 16 keys, from two fragments of scores. A float is a sum of three
/// bfloat16; with kParts = 1, it is rounded to one.
template <unsigned kParts>
__device__ void split_weights(const FragmentC& left, const FragmentC& right,
                              FragmentA<bfloat16> (&parts)[kParts]) {
#pragma unroll
  for (unsigned word = 0; word < 4; ++word) {
    const FragmentC& from = word < 2 ? left : right;
    float first = from.values[word % 2 * 2], second = from.values[word % 2 * 2 + 1];
#pragma unroll
    for (unsigned part = 0; part < kParts; ++part) {
      const bfloat16 a(first), b(second);
      parts[part].words[word] = packed(a, b);
      first -= float(a);
      second -= float(b);
    }
  }
}

/// A warp's part of its block's tile: rows i and i + 8 belong to the lane.
struct TensorRows {
  unsigned first;  // of the warp, within the tile
  int64_t i;       // within the sequence

  __device__ explicit TensorRows(const AttentionTile& tile)
      : first(threadIdx.x / kWarp * kTensorRows), i(tile.first + first + threadIdx.x % kWarp / 4) {}
  /// The key of values[element] of fragment n of the scores.
  __device__ static int64_t key(int64_t first_key, unsigned n, unsigned element) {
    return first_key + n * 8 + FragmentC::column(threadIdx.x % kWarp, element);
  }
};

inline constexpr unsigned kScoreFragments = kTensorKeys / 8;

/// The bit of a lane's pair: row i + 8 half, and the key of values[element] of fragment n.
__device__ inline unsigned bit_of(unsigned half, unsigned n, unsigned element) {
  return half * 2 * kScoreFragments + n * 2 + element;
}

/// A bit for each pair of a lane: whether the query sees the key.
template <typename A>
__device__ uint32_t seen_by_lane(const A& a, const AttentionTile& tile, const TensorRows& rows,
                                 int64_t first_key) {
  const int64_t last_key = rows.key(first_key, kScoreFragments - 1, 1);
  if (!a.has_masks() && rows.i + 8 < tile.of.queries && last_key < tile.of.key_end(rows.i + 1)) return ~0u;
  uint32_t bits = 0;
#pragma unroll 1
  for (unsigned bit = 0; bit < 4 * kScoreFragments; ++bit) {
    const int64_t i = rows.i + bit / (2 * kScoreFragments) * 8,
                  j = rows.key(first_key, bit / 2 % kScoreFragments, bit % 2);
    const bool seen =
        i < tile.of.queries && j < tile.of.key_end(i + 1) && (!a.has_masks() || a.sees(tile, i, j));
    bits |= uint32_t{seen} << bit;
  }
  return bits;
}

/// A bit for each pair of a lane: whether dropout keeps its weight.
template <typename A>
__device__ uint32_t kept_by_lane(const A& a, const AttentionTile& tile, const TensorRows& rows,
                                 int64_t first_key) {
  if (!a.drops()) return ~0u;
  uint32_t bits = 0;
#pragma unroll 1
  for (unsigned bit = 0; bit < 4 * kScoreFragments; bit += 2) {
    const int64_t j = rows.key(first_key, bit / 2 % kScoreFragments, 0);
    bits |= (a.template kept<2>(tile, rows.i + bit / (2 * kScoreFragments) * 8, j) & 3) << bit;
  }
  return bits;
}

/// Scores become weights, and sums are corrected.
template <unsigned kFragments, typename A>
__device__ void scores_to_weights(const A& a, const AttentionTile& tile, const TensorRows& rows,
                                  int64_t first_key, OnlineSoftmax<float, 2, 4>& softmax,
                                  FragmentC (&scores)[kScoreFragments], FragmentC (&sums)[kFragments]) {
  const uint32_t seen = seen_by_lane(a, tile, rows, first_key), kept = kept_by_lane(a, tile, rows, first_key);
#pragma unroll
  for (unsigned half = 0; half < 2; ++half) {
    float of_row[2 * kScoreFragments];
#pragma unroll
    for (unsigned c = 0; c < 2 * kScoreFragments; ++c) {
      const float product = scores[c / 2].values[half * 2 + c % 2];
      of_row[c] = seen >> bit_of(half, c / 2, c % 2) & 1
                      ? a.score(tile, rows.i + half * 8, rows.key(first_key, c / 2, c % 2), product)
                      : kMasked<float>;
    }
    const float correction = softmax.add(half, of_row, a.score_scale);
#pragma unroll
    for (unsigned c = 0; c < 2 * kScoreFragments; ++c) {
      scores[c / 2].values[half * 2 + c % 2] = a.dropped(kept >> bit_of(half, c / 2, c % 2) & 1, of_row[c]);
    }
#pragma unroll
    for (FragmentC& sum : sums) {
      sum.values[half * 2] *= correction;
      sum.values[half * 2 + 1] *= correction;
    }
  }
}

/// The first tile from `t` on that has a pair, or `tiles`. For all threads of the block.
template <typename A>
__device__ int64_t next_tile(const A& a, const AttentionTile& tile, const TensorRows& rows, int64_t t,
                             int64_t tiles) {
  while (a.has_masks() && t < tiles && !__syncthreads_or(seen_by_lane(a, tile, rows, t * kTensorKeys) != 0))
    ++t;
  return t;
}

/// Rows of bfloat16 whose first elements lie at multiples of 16 bytes. `size` is at most kSize.
template <unsigned kSize, unsigned kParts, typename A>
__global__ void __launch_bounds__(kTensorThreads, 2)
    attend_by_tensor_cores(A a, HeadRows<bfloat16> output, float* row_max, float* row_sum) {
  DYNAMIC_SHARED(SharedVector, memory);
  const QueryMatrix<kSize> query{memory};
  SharedVector* const stages = memory + query.kVectors;
  const auto key_at = [&](unsigned stage) {
    return KeyMatrix<kSize>{stages + stage * KeyMatrix<kSize>::kVectors};
  };
  const auto value_at = [&](unsigned stage) {
    return ValueMatrix<kSize>{stages + (kTensorStages + stage) * KeyMatrix<kSize>::kVectors};
  };
  const AttentionTile tile = a.tile_of_queries(blockIdx.x);
  const AttentionSequence& of = tile.of;
  if (tile.first >= of.queries) return;
  const TensorRows rows(tile);
  const int64_t last =
      tile.first + kTileRows<float> < of.queries ? tile.first + kTileRows<float> : of.queries;
  const int64_t tiles = (of.key_end(last) + kTensorKeys - 1) / kTensorKeys;
  const Operand<bfloat16> keys =
      rows_along_k(a.key.at(of.batch, of.first_key, tile.key_head), of.keys, a.key.row_stride);
  const Operand<bfloat16> values =
      rows_along_extent(a.value.at(of.batch, of.first_key, tile.key_head), a.size, a.value.row_stride);
  const auto prefetch = [&](int64_t t, unsigned stage) {
    if (t < tiles) {
      key_at(stage).template copy_from<kTensorThreads>(keys, t * kTensorKeys, 0, a.size);
      value_at(stage).template copy_from<kTensorThreads>(values, 0, t * kTensorKeys, of.keys);
    }
    copy_async_commit();
  };
  int64_t t = next_tile(a, tile, rows, 0, tiles);
  if (t < tiles) {
    query.template copy_from<kTensorThreads>(
        rows_along_k(a.query.at(of.batch, of.first_query, tile.head), of.queries, a.query.row_stride),
        tile.first, 0, a.size);
  }
  prefetch(t, 0);
  OnlineSoftmax<float, 2, 4> softmax;
  FragmentC sums[kSize / 8];
  for (unsigned stage = 0; t < tiles; stage ^= 1) {
    copy_async_wait<0>();
    __syncthreads();  // the tile is there for all, and all have done with the one before
    const int64_t next = next_tile(a, tile, rows, t + 1, tiles);
    prefetch(next, stage ^ 1);
    const KeyMatrix<kSize> key = key_at(stage);
    FragmentC scores[kScoreFragments];
#pragma unroll
    for (unsigned d = 0; d < kSize / 16; ++d) {
      FragmentA<bfloat16> of_query;
      read_parts<0, true>(query, rows.first, d * 16, of_query.words);
#pragma unroll
      for (unsigned n = 0; n < kScoreFragments; n += 2) {
        uint32_t words[4];
        read_parts<1, true>(key, n * 8, d * 16, words);
        mma(scores[n], of_query, FragmentB<bfloat16>{{words[0], words[1]}});
        mma(scores[n + 1], of_query, FragmentB<bfloat16>{{words[2], words[3]}});
      }
    }
    scores_to_weights(a, tile, rows, t * kTensorKeys, softmax, scores, sums);
    const ValueMatrix<kSize> value = value_at(stage);
#pragma unroll
    for (unsigned n = 0; n < kScoreFragments; n += 2) {
      FragmentA<bfloat16> weights[kParts];
      split_weights<kParts>(scores[n], scores[n + 1], weights);
#pragma unroll
      for (unsigned d = 0; d < kSize / 8; d += 2) {
        uint32_t words[4];
        read_parts<1, false>(value, d * 8, n * 8, words);
#pragma unroll
        for (const FragmentA<bfloat16>& part : weights) {
          mma(sums[d], part, FragmentB<bfloat16>{{words[0], words[1]}});
          mma(sums[d + 1], part, FragmentB<bfloat16>{{words[2], words[3]}});
        }
      }
    }
    t = next;
  }

  // The warp's rows of the tile of queries take the result, so that whole rows are written.
  __syncwarp();
  const unsigned lane = threadIdx.x % kWarp;
#pragma unroll
  for (unsigned half = 0; half < 2; ++half) {
    const float total = softmax.total(half), inverse = total == 0 ? 0 : 1 / total;
#pragma unroll
    for (unsigned d = 0; d < kSize / 8; ++d) {
      query.at(rows.first + lane / 4 + half * 8, d * 8)->words[lane % 4] = packed(
          bfloat16(sums[d].values[half * 2] * inverse), bfloat16(sums[d].values[half * 2 + 1] * inverse));
    }
    const int64_t i = rows.i + half * 8;
    if (lane % 4 != 0 || i >= of.queries) continue;
    row_max[a.query_number(tile, i)] = softmax.max[half];
    row_sum[a.query_number(tile, i)] = total;
  }
  __syncwarp();
  for (unsigned v = lane; v < kTensorRows * kSize / 8; v += kWarp) {
    const unsigned row = rows.first + v / (kSize / 8), d = v % (kSize / 8) * 8;
    if (tile.first + row >= of.queries || d >= a.size) continue;
    bfloat16* const to = output.at(of.batch, of.first_query + tile.first + row, tile.head) + d;
    store_vector(reinterpret_cast<SharedVector*>(to), load_vector(query.at(row, d)));
  }
}

}  // namespace haze::HAZE_KERNELS
