#pragma once

#include "haze/engine/cuda/ladder/attention.h"

/// The gradient of attention (Dao 2023, "FlashAttention-2", algorithm 2). With S = scale Q K^T and P =
/// softmax(S):
///   dV = P^T dO,  dP = dO V^T,  dS = P (dP - delta) with delta = rowsum(dO O),  dQ = scale dS K,
///   dK = scale dS^T Q.
/// No weights were kept: each tile of them is computed again from the maximum and the sum of its rows. A
/// block of query_gradient has a tile of queries and goes over keys; one of key_gradient has a tile of keys
/// and goes over queries. So each result is summed by one thread, in one order.
namespace haze::HAZE_KERNELS {

/// The inputs of the gradient besides the operands.
template <typename T>
struct SavedAttention {
  HeadRows<const T> g, output;
  const Wide<T>*max, *sum;  // of the softmax, [batch, heads, queries]
  Wide<T>* delta;           // of the same shape
};

/// A warp has a query of a head.
template <typename T>
__global__ void find_deltas(SavedAttention<T> saved, int64_t rows, int64_t queries, int64_t heads,
                            int64_t size) {
  using W = Wide<T>;
  const int64_t row = thread_number() / kWarp;
  if (row >= rows) return;
  const int64_t batch = row / queries / heads, head = row / queries % heads;
  const T *const g = saved.g.at(batch, row % queries, head), *const output =
                                                                 saved.output.at(batch, row % queries, head);
  W sum = 0;
  for (int64_t d = threadIdx.x % kWarp; d < size; d += kWarp) sum += W(g[d]) * W(output[d]);
  sum = over_warp(sum, Plus());
  if (threadIdx.x % kWarp == 0) saved.delta[row] = sum;
}

/// Of one query.
template <typename W>
struct RowStatistics {
  W max, inverse, delta;  // inverse: of the sum
};
template <typename A>
__device__ RowStatistics<typename A::W> statistics_of(const A& a,
                                                      const SavedAttention<typename A::Element>& saved,
                                                      const AttentionTile& tile, int64_t i) {
  if (i >= tile.of.queries) return {};
  const int64_t number = a.query_number(tile, i);
  const typename A::W sum = saved.sum[number];
  return {saved.max[number], sum == 0 ? 0 : 1 / sum, saved.delta[number]};
}

/// The product of a query and a key becomes the weight after dropout; that of the query's g and the value
/// becomes the gradient of the first product.
template <typename A, typename W = typename A::W>
__device__ void to_weight_and_gradient(const A& a, const AttentionTile& tile, const QueryAndKey& pair,
                                       bool seen, bool kept, const RowStatistics<W>& of, W& product,
                                       W& g_value) {
  const W score = seen ? a.score(tile, pair.query, pair.key, product) : kMasked<W>;
  const bool nothing = score == kMasked<W> || of.inverse == 0;
  const W weight = nothing ? W(0) : std::exp(std::fma(score, a.score_scale, -of.max)) * of.inverse;
  product = a.dropped(kept, weight);
  g_value = nothing ? W(0) : weight * a.scale * (a.dropped(kept, g_value) - of.delta);
}

/// Rows of two operands in shared memory.
template <typename W>
struct TwoTiles {
  W *first, *second;
};
/// The products of the first tiles of x and y, and of the second ones.
template <unsigned kSize, unsigned kOfThread, typename W>
__device__ void add_both_products(W (&first)[kRowsOfThread<W>][kOfThread],
                                  W (&second)[kRowsOfThread<W>][kOfThread], const TwoTiles<W>& x,
                                  const TwoTiles<W>& y) {
  add_products<kSize>(first, x.first, y.first);
  add_products<kSize>(second, x.second, y.second);
}

/// A tile of a gradient, whose first row and element lie at `to`.
template <unsigned kSize, typename T, typename W>
__device__ void store_tile(const W (&sums)[kRowsOfThread<W>][kSize / kTileX], const HeadRows<T>& of, T* to,
                           int64_t rows, int64_t size) {
#pragma unroll
  for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
    const int64_t row = threadIdx.y * kRowsOfThread<W> + r;
    if (row < rows) store_row<kSize>(sums[r], to + row * of.row_stride, size, of.vectors);
  }
}

/// Shared memory of query_gradient: queries and their g, keys and values, and gradients of scores.
template <typename W, unsigned kSize>
inline constexpr size_t kBytesOfQueryGradient = (2 * (kTileRows<W> + kTileKeys) * kTilePitch<W, kSize> +
                                                 kTileRows<W> * kTilePitch<W, kTileKeys>)*sizeof(W);

template <unsigned kSize, typename A>
__global__ void __launch_bounds__(kTileThreads, 2)
    query_gradient(A a, SavedAttention<typename A::Element> saved, HeadRows<typename A::Element> out) {
  using W = typename A::W;
  using T = typename A::Element;
  constexpr unsigned kTile = kTileRows<W> * kTilePitch<W, kSize>, kKeys = kTileKeys * kTilePitch<W, kSize>;
  SHARED(W, max, [kTileRows<W>]);
  SHARED(W, inverse, [kTileRows<W>]);
  SHARED(W, delta, [kTileRows<W>]);
  DYNAMIC_SHARED(W, memory);
  const TwoTiles<W> x{memory, memory + kTile}, y{x.second + kTile, x.second + kTile + kKeys};
  W* const gradients = y.second + kKeys;
  const AttentionTile tile = a.tile_of_queries(blockIdx.x);
  const AttentionSequence& of = tile.of;
  if (tile.first >= of.queries) return;
  const int64_t first_row = of.first_query + tile.first, rows = of.queries - tile.first,
                i = tile.first + threadIdx.y * kRowsOfThread<W>;
  const auto load_rows = [&](int64_t d) {
    load_tile<kTileRows<W>, kSize, 1>(a.query.at(of.batch, first_row, tile.head) + d, a.query.row_stride,
                                      rows, a.size - d, x.first);
    load_tile<kTileRows<W>, kSize, 1>(saved.g.at(of.batch, first_row, tile.head) + d, saved.g.row_stride,
                                      rows, a.size - d, x.second);
  };
  const auto load_keys = [&](const HeadRows<const T>& from, int64_t j, int64_t d, W* to) {
    load_tile<kTileKeys, kSize, kKeysOfThread>(from.at(of.batch, of.first_key + j, tile.key_head) + d,
                                               from.row_stride, of.keys - j, a.size - d, to);
  };
  const unsigned thread = threadIdx.y * kTileX + threadIdx.x;
  if (thread < kTileRows<W>) {
    const RowStatistics<W> of_row = statistics_of(a, saved, tile, tile.first + thread);
    max[thread] = of_row.max;
    inverse[thread] = of_row.inverse;
    delta[thread] = of_row.delta;
  }
  if (a.chunks == 1) load_rows(0);
  W sums[kRowsOfThread<W>][kSize / kTileX] = {};
  const int64_t last = tile.first + kTileRows<W> < of.queries ? tile.first + kTileRows<W> : of.queries;
  const int64_t key_end = of.key_end(last);
  for (int64_t first_key = 0; first_key < key_end; first_key += kTileKeys) {
    const PairsOfThread<true> pairs{i, first_key + threadIdx.x * kKeysOfThread};
    const uint32_t seen = seen_pairs<kKeysOfThread>(a, tile, pairs);
    if (a.has_masks() && !__syncthreads_or(seen != 0)) continue;
    W products[kRowsOfThread<W>][kKeysOfThread] = {}, g_values[kRowsOfThread<W>][kKeysOfThread] = {};
    for (int64_t chunk = 0; chunk < a.chunks; ++chunk) {
      if (chunk > 0) __syncthreads();
      if (a.chunks > 1) load_rows(chunk * kSize);
      load_keys(a.key, first_key, chunk * kSize, y.first);
      load_keys(a.value, first_key, chunk * kSize, y.second);
      __syncthreads();
      add_both_products<kSize>(products, g_values, x, y);
    }
    const uint32_t kept = kept_pairs<kKeysOfThread>(a, tile, pairs);
#pragma unroll
    for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
      const unsigned row = threadIdx.y * kRowsOfThread<W> + r;
      const RowStatistics<W> of_row{max[row], inverse[row], delta[row]};
#pragma unroll
      for (unsigned c = 0; c < kKeysOfThread; ++c) {
        to_weight_and_gradient(a, tile, pairs(r, c), is_set<kKeysOfThread>(seen, r, c),
                               is_set<kKeysOfThread>(kept, r, c), of_row, products[r][c], g_values[r][c]);
      }
    }
    store_weights(g_values, gradients);
    if (a.chunks > 1) {
      __syncthreads();
      load_keys(a.key, first_key, tile.chunk * kSize, y.first);
    }
    __syncthreads();
    add_weighted<kSize, kKeysOfThread>(sums, gradients, y.first);
    __syncthreads();
  }
  store_tile<kSize>(sums, out, out.at(of.batch, first_row, tile.head) + tile.chunk * kSize, rows,
                    a.size - tile.chunk * kSize);
}

inline constexpr unsigned kQueriesOfThread = 2, kTileQueries = kTileX * kQueriesOfThread;

/// Shared memory of key_gradient: keys and values, queries and their g, and weights and their gradients.
template <typename W, unsigned kSize>
inline constexpr size_t kBytesOfKeyGradient = 2 * ((kTileRows<W> + kTileQueries) * kTilePitch<W, kSize> +
                                                   kTileRows<W> * kTilePitch<W, kTileQueries>)*sizeof(W);

template <unsigned kSize, typename A>
__global__ void __launch_bounds__(kTileThreads, 2)
    key_gradient(A a, SavedAttention<typename A::Element> saved, HeadRows<typename A::Element> to_key,
                 HeadRows<typename A::Element> to_value) {
  using W = typename A::W;
  using T = typename A::Element;
  constexpr unsigned kTile = kTileRows<W> * kTilePitch<W, kSize>,
                     kQueries = kTileQueries * kTilePitch<W, kSize>;
  DYNAMIC_SHARED(W, memory);
  const TwoTiles<W> x{memory, memory + kTile}, y{x.second + kTile, x.second + kTile + kQueries};
  W *const weights = y.second + kQueries, *const gradients =
                                              weights + kTileRows<W> * kTilePitch<W, kTileQueries>;
  AttentionTile tile = a.tile_of_keys(blockIdx.x);
  const AttentionSequence& of = tile.of;
  if (tile.first >= of.keys) return;
  const int64_t first_row = of.first_key + tile.first, rows = of.keys - tile.first,
                j = tile.first + threadIdx.y * kRowsOfThread<W>;
  const auto load_rows = [&](int64_t d) {
    load_tile<kTileRows<W>, kSize, 1>(a.key.at(of.batch, first_row, tile.key_head) + d, a.key.row_stride,
                                      rows, a.size - d, x.first);
    load_tile<kTileRows<W>, kSize, 1>(a.value.at(of.batch, first_row, tile.key_head) + d, a.value.row_stride,
                                      rows, a.size - d, x.second);
  };
  const auto load_queries = [&](const HeadRows<const T>& from, int64_t i, int64_t d, W* to) {
    load_tile<kTileQueries, kSize, kQueriesOfThread>(from.at(of.batch, of.first_query + i, tile.head) + d,
                                                     from.row_stride, of.queries - i, a.size - d, to);
  };
  if (a.chunks == 1) load_rows(0);
  W key_sums[kRowsOfThread<W>][kSize / kTileX] = {}, value_sums[kRowsOfThread<W>][kSize / kTileX] = {};
  // The first query that sees a key of the tile, if any does.
  const int64_t begin = tile.first >= of.visible_keys   ? of.queries
                        : tile.first > of.causal_offset ? tile.first - of.causal_offset
                                                        : 0;
  const int64_t heads = a.heads_of_key_head();
  for (int64_t h = 0; h < heads; ++h) {
    tile.head = tile.key_head * heads + h;
    for (int64_t first_query = begin; first_query < of.queries; first_query += kTileQueries) {
      const PairsOfThread<false> pairs{j, first_query + threadIdx.x * kQueriesOfThread};
      const uint32_t seen = seen_pairs<kQueriesOfThread>(a, tile, pairs);
      if (a.has_masks() && !__syncthreads_or(seen != 0)) continue;
      W products[kRowsOfThread<W>][kQueriesOfThread] = {}, g_values[kRowsOfThread<W>][kQueriesOfThread] = {};
      for (int64_t chunk = 0; chunk < a.chunks; ++chunk) {
        if (chunk > 0) __syncthreads();
        if (a.chunks > 1) load_rows(chunk * kSize);
        load_queries(a.query, first_query, chunk * kSize, y.first);
        load_queries(saved.g, first_query, chunk * kSize, y.second);
        __syncthreads();
        add_both_products<kSize>(products, g_values, x, y);
      }
      const uint32_t kept = kept_pairs<kQueriesOfThread>(a, tile, pairs);
#pragma unroll
      for (unsigned c = 0; c < kQueriesOfThread; ++c) {
        const RowStatistics<W> of_query = statistics_of(a, saved, tile, pairs(0, c).query);
#pragma unroll
        for (unsigned r = 0; r < kRowsOfThread<W>; ++r) {
          to_weight_and_gradient(a, tile, pairs(r, c), is_set<kQueriesOfThread>(seen, r, c),
                                 is_set<kQueriesOfThread>(kept, r, c), of_query, products[r][c],
                                 g_values[r][c]);
        }
      }
      store_weights(products, weights);
      store_weights(g_values, gradients);
      if (a.chunks > 1) {
        __syncthreads();
        load_queries(a.query, first_query, tile.chunk * kSize, y.first);
        load_queries(saved.g, first_query, tile.chunk * kSize, y.second);
      }
      __syncthreads();
      add_weighted<kSize, kQueriesOfThread>(value_sums, weights, y.second);
      add_weighted<kSize, kQueriesOfThread>(key_sums, gradients, y.first);
      __syncthreads();
    }
  }
  const int64_t d = tile.chunk * kSize;
  store_tile<kSize>(key_sums, to_key, to_key.at(of.batch, first_row, tile.key_head) + d, rows, a.size - d);
  store_tile<kSize>(value_sums, to_value, to_value.at(of.batch, first_row, tile.key_head) + d, rows,
                    a.size - d);
}

}  // namespace haze::HAZE_KERNELS
