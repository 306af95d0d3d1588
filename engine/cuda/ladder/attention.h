#pragma once

#include <cmath>

#include "haze/engine/cuda/ladder/attention_tiles.h"

/// Attention: softmax(scale Q K^T) V for each head. The first rung holds all scores in memory. The second one
/// goes over tiles of keys, and corrects what it has so far whenever a row's maximum grows (Dao et al. 2022,
/// "FlashAttention", algorithm 1; Dao 2023, "FlashAttention-2", algorithm 1). A block has a tile of queries.
/// Its scores never leave its registers and its shared memory.
namespace haze::HAZE_KERNELS {

/// The score of a pair that is masked.
template <typename W>
inline constexpr W kMasked = -std::numeric_limits<W>::infinity();

// ---- Scores in memory ----

/// x, y [heads, length, size], contiguous; scores [heads, length, length].
template <typename T>
struct StoredScores {
  const T *query, *key, *value;
  T* out;
  Wide<T>* scores;
  int64_t heads, length, size;
  Wide<T> scale;
  bool causal;
};

/// A thread has a score.
template <typename T>
__global__ void find_scores(StoredScores<T> a) {
  using W = Wide<T>;
  const int64_t number = thread_number();
  if (number >= a.heads * a.length * a.length) return;
  const int64_t j = number % a.length, row = number / a.length, head = row / a.length;
  const T *const query = a.query + row * a.size, *const key = a.key + (head * a.length + j) * a.size;
  W product = 0;
  for (int64_t d = 0; d < a.size; ++d) product += W(query[d]) * W(key[d]);
  const bool masked = a.causal && j > row % a.length;
  a.scores[number] = masked ? kMasked<W> : a.scale * product;
}

/// A warp has a row.
template <typename T>
__global__ void scores_to_weights(StoredScores<T> a) {
  using W = Wide<T>;
  const int64_t row = thread_number() / kWarp;
  if (row >= a.heads * a.length) return;
  W* const scores = a.scores + row * a.length;
  W max = kMasked<W>, sum = 0;
  for (int64_t j = threadIdx.x % kWarp; j < a.length; j += kWarp) max = Larger()(max, scores[j]);
  max = over_warp(max, Larger());
  for (int64_t j = threadIdx.x % kWarp; j < a.length; j += kWarp) {
    scores[j] = std::exp(scores[j] - max);
    sum += scores[j];
  }
  sum = over_warp(sum, Plus());
  for (int64_t j = threadIdx.x % kWarp; j < a.length; j += kWarp) scores[j] /= sum;
}

/// A thread has an element of the result.
template <typename T>
__global__ void weigh_values(StoredScores<T> a) {
  using W = Wide<T>;
  const int64_t number = thread_number();
  if (number >= a.heads * a.length * a.size) return;
  const int64_t d = number % a.size, row = number / a.size, head = row / a.length;
  W sum = 0;
  for (int64_t j = 0; j < a.length; ++j) {
    sum += a.scores[row * a.length + j] * W(a.value[(head * a.length + j) * a.size + d]);
  }
  a.out[number] = T(sum);
}

// ---- Tiles with an online softmax ----

/// The tile of a block: rows of one head of a sequence. The block finds `kSize` elements of the results of
/// these rows, from chunk * kSize on.
struct AttentionTile {
  AttentionSequence of;
  int64_t head, key_head;
  int64_t first;  // row, numbered within its sequence
  int64_t chunk;
};

/// What the kernels by tiles take their operands and their masks from: attention without more than causal.
/// engine/cuda/attention_pairs.h has all masks, with the same members.
template <typename T>
struct PlainAttention {
  using Element = T;
  using W = Wide<T>;

  HeadRows<const T> query, key, value;
  int64_t length, size;
  W scale, score_scale;  // score_scale times score() is what softmax takes
  bool causal;
  int64_t chunks = 1;

  /// Of block `number`, where a tile has kTileRows<W> rows.
  __device__ AttentionTile tile_of_queries(int64_t number) const {
    const int64_t tiles = blocks_of(length, kTileRows<W>), head = number / chunks / tiles;
    return {{head, head, 0, length, 0, length, length, causal ? 0 : length},
            0,
            0,
            number / chunks % tiles * kTileRows<W>,
            number % chunks};
  }
  __device__ AttentionTile tile_of_keys(int64_t number) const { return tile_of_queries(number); }
  /// How many heads of queries share a head of keys.
  __device__ int64_t heads_of_key_head() const { return 1; }
  /// The places of the maximum and the sum of a query.
  __device__ int64_t query_number(const AttentionTile& tile, int64_t i) const {
    return tile.of.batch * length + i;
  }

  /// Whether some pairs are masked that AttentionSequence::key_end() allows, and whether one is not.
  __device__ bool has_masks() const { return false; }
  __device__ bool sees(const AttentionTile&, int64_t, int64_t) const { return true; }
  __device__ W score(const AttentionTile&, int64_t, int64_t, W product) const { return product; }

  __device__ bool drops() const { return false; }
  /// Bit c: whether dropout keeps the weight of query i for key j + c.
  template <unsigned kCount>
  __device__ uint32_t kept(const AttentionTile&, int64_t, int64_t) const {
    return ~0u;
  }
  __device__ W dropped(bool, W weight) const { return weight; }
};

/// The pairs of a register tile. Its rows are queries and its columns keys, or the other way round.
struct QueryAndKey {
  int64_t query, key;
};
template <bool kRowsAreQueries>
struct PairsOfThread {
  int64_t row, column;

  __device__ QueryAndKey operator()(unsigned r, unsigned c) const {
    return kRowsAreQueries ? QueryAndKey{row + r, column + c} : QueryAndKey{column + c, row + r};
  }
};

/// A bit for each pair of a register tile: whether the query sees the key.
template <unsigned kOfThread, typename A, typename Pairs>
__device__ uint32_t seen_pairs(const A& a, const AttentionTile& tile, const Pairs& pairs) {
  constexpr unsigned kRows = kRowsOfThread<typename A::W>;
  const QueryAndKey first = pairs(0, 0), last = pairs(kRows - 1, kOfThread - 1);
  if (!a.has_masks() && last.query < tile.of.queries && last.key < tile.of.key_end(first.query + 1))
    return ~0u;
  uint32_t bits = 0;
#pragma unroll 1
  for (unsigned r = 0; r < kRows; ++r) {
    for (unsigned c = 0; c < kOfThread; ++c) {
      const QueryAndKey p = pairs(r, c);
      const bool seen = p.query < tile.of.queries && p.key < tile.of.key_end(p.query + 1) &&
                        (!a.has_masks() || a.sees(tile, p.query, p.key));
      bits |= uint32_t{seen} << (r * kOfThread + c);
    }
  }
  return bits;
}

/// A bit for each pair of a register tile: whether dropout keeps its weight.
template <unsigned kOfThread, bool kRowsAreQueries, typename A>
__device__ uint32_t kept_pairs(const A& a, const AttentionTile& tile,
                               const PairsOfThread<kRowsAreQueries>& pairs) {
  if (!a.drops()) return ~0u;
  constexpr unsigned kRows = kRowsOfThread<typename A::W>, kQueries = kRowsAreQueries ? kRows : kOfThread,
                     kKeys = kRowsAreQueries ? kOfThread : kRows;
  uint32_t bits = 0;
#pragma unroll 1
  for (unsigned i = 0; i < kQueries; ++i) {
    const QueryAndKey first = kRowsAreQueries ? pairs(i, 0) : pairs(0, i);
    const uint32_t kept = a.template kept<kKeys>(tile, first.query, first.key);
    for (unsigned j = 0; j < kKeys; ++j) {
      bits |= (kept >> j & 1) << (kRowsAreQueries ? i * kOfThread + j : j * kOfThread + i);
    }
  }
  return bits;
}

template <unsigned kOfThread>
__device__ bool is_set(uint32_t bits, unsigned r, unsigned c) {
  return bits >> (r * kOfThread + c) & 1;
}

/// The maximum of scaled scores, or NaN where in float32 no digits would be left for the softmax.
template <typename W>
__device__ W checked_max(W max) {
  constexpr W kTooLarge = sizeof(W) == 4 ? static_cast<W>(0x1p30) : std::numeric_limits<W>::infinity();
  return max != kMasked<W> && std::fabs(max) >= kTooLarge ? std::numeric_limits<W>::quiet_NaN() : max;
}

/// The softmax of kRows queries so far. Each row is shared by kLanes neighbouring lanes.
template <typename W, unsigned kRows, unsigned kLanes>
struct OnlineSoftmax {
  W max[kRows], sum[kRows];  // sum: of the thread's own weights

  __device__ OnlineSoftmax() {
#pragma unroll
    for (unsigned r = 0; r < kRows; ++r) max[r] = kMasked<W>, sum[r] = 0;
  }

  /// The thread's scores of row r become weights. Gives by what earlier weights of the row are to be
  /// multiplied.
  template <unsigned kCount>
  __device__ W add(unsigned r, W (&scores)[kCount], W score_scale) {
    W largest = kMasked<W>;
#pragma unroll
    for (W score : scores) largest = Larger()(largest, score);
    const W new_max = checked_max(Larger()(score_scale * over_lanes<kLanes>(largest, Larger()), max[r]));
    const W correction = new_max == max[r] ? W(1) : std::exp(max[r] - new_max);
    W of_tile = 0;
#pragma unroll
    for (W& score : scores) {
      // Rounded once: scores of 2^26 are 8 apart, and weights must not be.
      score = new_max == kMasked<W> ? W(0) : std::exp(std::fma(score, score_scale, -new_max));
      of_tile += score;
    }
    max[r] = new_max;
    sum[r] = sum[r] * correction + of_tile;
    return correction;
  }

  __device__ W total(unsigned r) const {
    return over_lanes<kLanes>(sum[r], Plus());
  }
};

inline constexpr unsigned kKeysOfThread = 4, kTileKeys = kTileX * kKeysOfThread;

/// Shared memory of attend_by_tiles: a tile of queries, one of keys and then of values, and one of weights.
template <typename W, unsigned kSize>
inline constexpr size_t kBytesOfAttend = ((kTileRows<W> + kTileKeys) * kTilePitch<W, kSize> +
                                          kTileRows<W> * kTilePitch<W, kTileKeys>)*sizeof(W);

/// A thread has 8 queries: 4 of the tile's keys for the scores, kSize / 16 elements of the head for the
/// result.
template <unsigned kSize, typename A>
__global__ void __launch_bounds__(kTileThreads, 2)
    attend_by_tiles(A a, HeadRows<typename A::Element> output, typename A::W* row_max,
                    typename A::W* row_sum) {
  using W = typename A::W;
  DYNAMIC_SHARED(W, query);
  W *const key = query + kTileRows<W> * kTilePitch<W, kSize>, *const value = key,
           *const weights = key + kTileKeys * kTilePitch<W, kSize>;
  const AttentionTile tile = a.tile_of_queries(blockIdx.x);
  const AttentionSequence& of = tile.of;
  if (tile.first >= of.queries) return;
  const int64_t first_row = of.first_query + tile.first, rows = of.queries - tile.first,
                i = tile.first + threadIdx.y * kRowsOfThread<W>;
  const auto load_query = [&](int64_t d) {
    load_tile<kTileRows<W>, kSize, 1>(a.query.at(of.batch, first_row, tile.head) + d, a.query.row_stride,
                                      rows, a.size - d, query);
  };
  const auto load_keys = [&](const HeadRows<const typename A::Element>& x, int64_t j, int64_t d, W* to) {
    load_tile<kTileKeys, kSize, kKeysOfThread>(x.at(of.batch, of.first_key + j, tile.key_head) + d,
                                               x.row_stride, of.keys - j, a.size - d, to);
  };
  OnlineSoftmax<W, kRowsOfThread<W>, kTileX> softmax;
  W sums[kRowsOfThread<W>][kSize / kTileX] = {};  // of weights and values
  if (a.chunks == 1) load_query(0);
  const int64_t last = tile.first + kTileRows<W> < of.queries ? tile.first + kTileRows<W> : of.queries;
  const int64_t key_end = of.key_end(last);
  for (int64_t first_key = 0; first_key < key_end; first_key += kTileKeys) {
    const int64_t j = first_key + threadIdx.x * kKeysOfThread;
    const PairsOfThread<true> pairs{i, j};
    const uint32_t seen = seen_pairs<kKeysOfThread>(a, tile, pairs);
    if (a.has_masks() && !__syncthreads_or(seen != 0)) continue;
    W scores[kRowsOfThread<W>][kKeysOfThread] = {};
    for (int64_t chunk = 0; chunk < a.chunks; ++chunk) {
      if (chunk > 0) __syncthreads();
      if (a.chunks > 1) load_query(chunk * kSize);
      load_keys(a.key, first_key, chunk * kSize, key);
      __syncthreads();
      add_products<kSize>(scores, query, key);
    }
    const uint32_t kept = kept_pairs<kKeysOfThread>(a, tile, pairs);
#pragma unroll
    for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
#pragma unroll
      for (unsigned c = 0; c < kKeysOfThread; ++c) {
        scores[r][c] =
            is_set<kKeysOfThread>(seen, r, c) ? a.score(tile, i + r, j + c, scores[r][c]) : kMasked<W>;
      }
      const W correction = softmax.add(r, scores[r], a.score_scale);
#pragma unroll
      for (W& sum : sums[r]) sum *= correction;
#pragma unroll
      for (unsigned c = 0; c < kKeysOfThread; ++c) {
        scores[r][c] = a.dropped(is_set<kKeysOfThread>(kept, r, c), scores[r][c]);
      }
    }
    store_weights(scores, weights);
    __syncthreads();
    load_keys(a.value, first_key, tile.chunk * kSize, value);
    __syncthreads();
    add_weighted<kSize, kKeysOfThread>(sums, weights, value);
    __syncthreads();
  }
#pragma unroll
  for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
    const W total = softmax.total(r), inverse = total == 0 ? W(0) : 1 / total;
    if (i + r >= of.queries) continue;
#pragma unroll
    for (W& sum : sums[r]) sum *= inverse;
    store_row<kSize>(sums[r], output.at(of.batch, of.first_query + i + r, tile.head) + tile.chunk * kSize,
                     a.size - tile.chunk * kSize, output.vectors);
    if (threadIdx.x != 0 || tile.chunk != 0) continue;
    row_max[a.query_number(tile, i + r)] = softmax.max[r];
    row_sum[a.query_number(tile, i + r)] = total;
  }
}

}  // namespace haze::HAZE_KERNELS
