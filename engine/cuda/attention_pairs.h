#pragma once

#include <cmath>

#include "haze/engine/cuda/attention_sequences.h"
#include "haze/engine/cuda/ladder/attention.h"
#include "haze/engine/cuda/random.h"

/// Which pairs of a query and a key see each other, and which weights dropout keeps: what the kernels by
/// tiles ask for (ladder/attention.h, PlainAttention), with every mask of AttentionOptions.
namespace haze::HAZE_KERNELS {

template <typename T>
HeadRows<T> head_rows(const Tensor& x) {
  return {x, x.stride(0), x.stride(1), x.stride(2)};
}

template <typename T>
struct MaskedAttention {
  using Element = T;
  using W = Wide<T>;

  HeadRows<const T> query, key, value;
  int64_t batch, heads, key_heads, size, query_rows, key_rows;
  int64_t chunks;
  const AttentionSequence* sequences;
  int64_t sequence_count;
  bool ragged;
  W scale, score_scale;  // score_scale times score() is what softmax takes
  const uint8_t* block_mask;
  int64_t block_size, block_mask_step, block_mask_columns;  // the step from one sequence's mask to the next
  const uint8_t* seen_pairs;                                // this or the next is the mask of pairs
  const T* added_pairs;
  int64_t pair_strides[4] = {};
  uint32_t dropout_threshold;  // 0 without dropout
  W keep_scale;
  RandomStream random;

  /// `head_part`: how many elements of a head a block finds.
  MaskedAttention(const call::Attention& call, const Storage& of_call, int64_t head_part);

  // ---- Tiles ----

  /// The number of tiles that an entry of the batch has, or more: see tile_of().
  HAZE_HOST_DEVICE int64_t tiles_of(int64_t rows) const {
    return ragged ? rows / kTileRows<W> + sequence_count : blocks_of(rows, kTileRows<W>);
  }
  int64_t blocks_of_queries() const { return batch * heads * tiles_of(query_rows) * chunks; }
  int64_t blocks_of_keys() const { return batch * key_heads * tiles_of(key_rows) * chunks; }

  __device__ AttentionTile tile_of_queries(int64_t number) const {
    AttentionTile tile = tile_of(number, heads, query_rows, &AttentionSequence::first_query);
    tile.key_head = tile.head / heads_of_key_head();
    return tile;
  }
  __device__ AttentionTile tile_of_keys(int64_t number) const {
    AttentionTile tile = tile_of(number, key_heads, key_rows, &AttentionSequence::first_key);
    tile.key_head = tile.head;
    return tile;
  }
  __device__ int64_t heads_of_key_head() const { return heads / key_heads; }
  __device__ int64_t query_number(const AttentionTile& tile, int64_t i) const {
    return (tile.of.batch * heads + tile.head) * query_rows + tile.of.first_query + i;
  }

  // ---- Masks ----

  __device__ bool has_masks() const { return block_mask || seen_pairs; }
  __device__ bool sees(const AttentionTile& tile, int64_t i, int64_t j) const {
    if (block_mask) {
      const int64_t row = i / block_size, column = j / block_size;
      if (!block_mask[tile.of.index * block_mask_step + row * block_mask_columns + column]) return false;
    }
    return !seen_pairs || seen_pairs[pair_offset(tile, i, j)];
  }
  /// -infinity where a number that is added rules the pair out.
  __device__ W score(const AttentionTile& tile, int64_t i, int64_t j, W product) const {
    if (!added_pairs) return product;
    const W added = W(added_pairs[pair_offset(tile, i, j)]);
    return added == kMasked<W> ? kMasked<W> : scale * product + added;
  }

  // ---- Dropout ----

  __device__ bool drops() const { return dropout_threshold > 0; }
  /// Bit c: whether dropout keeps the weight of query i for key j + c. A key's random word is one of four
  /// that are drawn together.
  template <unsigned kCount>
  __device__ uint32_t kept(const AttentionTile& tile, int64_t i, int64_t j) const {
    const int64_t words_of_row = (key_rows + 3) / 4 * 4;
    const int64_t first = query_number(tile, i) * words_of_row + tile.of.first_key + j;
    uint32_t bits = 0;
    std::array<uint32_t, 4> words = random.words(first / 4);
    for (unsigned c = 0; c < kCount; ++c) {
      const unsigned which = (first + c) % 4;
      if (c > 0 && which == 0) words = random.words((first + c) / 4);
      // No index that is known at run time: words stay in registers.
      const uint32_t low = which == 0 ? words[0] : words[1], high = which == 2 ? words[2] : words[3];
      bits |= uint32_t{(which < 2 ? low : high) >= dropout_threshold} << c;
    }
    return bits;
  }
  __device__ W dropped(bool kept, W x) const { return kept ? x * keep_scale : W(0); }

 private:
  /// The tile of block `number`. In a ragged batch, sequence s has the numbers from r / kTileRows<W> + s on,
  /// where r is its first row. The next sequence's begin behind enough of them for all its tiles: ceil((b -
  /// a) / t) <= floor(b / t) - floor(a / t) + 1. Numbers that are left over have no rows.
  __device__ AttentionTile tile_of(int64_t number, int64_t all_heads, int64_t rows,
                                   int64_t AttentionSequence::*first) const {
    const int64_t chunk = number % chunks, tiles = tiles_of(rows);
    number /= chunks;
    const int64_t t = number % tiles, head = number / tiles % all_heads, entry = number / tiles / all_heads;
    if (!ragged) return {sequences[entry], head, 0, t * kTileRows<W>, chunk};
    const auto number_of = [&](int64_t s) { return sequences[s].*first / kTileRows<W> + s; };
    int64_t low = 0, high = sequence_count;  // the last sequence whose numbers begin there or before
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (number_of(middle) <= t ? low : high) = middle;
    }
    return {sequences[low], head, 0, (t - number_of(low)) * kTileRows<W>, chunk};
  }

  __device__ int64_t pair_offset(const AttentionTile& tile, int64_t i, int64_t j) const {
    return tile.of.batch * pair_strides[0] + tile.head * pair_strides[1] +
           (tile.of.first_query + i) * pair_strides[2] + (tile.of.first_key + j) * pair_strides[3];
  }
};

template <typename T>
MaskedAttention<T>::MaskedAttention(const call::Attention& call, const Storage& of_call, int64_t head_part)
    : query(head_rows<const T>(call.query)),
      key(head_rows<const T>(call.key)),
      value(head_rows<const T>(call.value)),
      batch(call.query.size(0)),
      heads(call.query.size(2)),
      key_heads(call.key.size(2)),
      size(call.query.size(3)),
      query_rows(call.query.size(1)),
      key_rows(call.key.size(1)),
      chunks(blocks_of(size, head_part)),
      sequences(static_cast<const AttentionSequence*>(of_call.data())),
      random(call.options.dropout_position) {
  const AttentionOptions& options = call.options;
  ragged = options.query_offsets.defined();
  sequence_count = ragged ? std::max<int64_t>(options.query_offsets.elements() - 1, 1) : call.query.size(0);
  scale = static_cast<W>(options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(size)));
  const Tensor &blocks = options.block_mask, &pairs = options.pair_mask;
  block_mask = elements_of<const uint8_t>(blocks);
  block_size = options.block_size;
  block_mask_step = blocks.defined() && blocks.rank() == 3 ? blocks.stride(0) : 0;
  block_mask_columns = blocks.defined() ? blocks.size(-1) : 0;
  const bool adds = pairs.defined() && pairs.dtype() != Dtype::uint8;
  score_scale = adds ? W(1) : scale;
  seen_pairs = adds ? nullptr : elements_of<const uint8_t>(pairs);
  added_pairs = adds ? elements_of<const T>(pairs) : nullptr;
  for (int axis = 0; pairs.defined() && axis < 4; ++axis) pair_strides[axis] = pairs.stride(axis);
  dropout_threshold = static_cast<uint32_t>(options.dropout * 0x1p32);  // below 2^32
  keep_scale = static_cast<W>(1 / (1 - options.dropout));
}

}  // namespace haze::HAZE_KERNELS
