#pragma once

#include "haze/nn/sequences.h"
#include "haze/nn/transformer_config.h"

namespace haze {

/// The rows `wanted` int32 [n] of x; x itself where `wanted` is undefined.
Variable rows_of(const Variable& x, const Tensor& wanted);

/// Keys and values of the rows that causal attention has seen, for a batch of sequences of equal lengths.
/// Its storage grows by doubling, so appending a row seldom copies the others.
class AttentionCache {
 public:
  int64_t length() const { return length_; }  // rows of each sequence
  int64_t capacity() const;                   // rows of each sequence that fit without growing
  int64_t batch() const { return keys_.defined() ? keys_.size(0) : 0; }

  /// key and value [batch, new rows, heads, head_size]. Throws Error where the batch is not the cache's.
  void append(const Tensor& key, const Tensor& value);
  /// Views [batch, length, heads, head_size].
  Tensor keys() const { return slice(keys_, 1, 0, length_); }
  Tensor values() const { return slice(values_, 1, 0, length_); }
  /// Sequence i becomes the former sequence entries[i], int32 [new batch]: what a beam search keeps.
  void select(const Tensor& entries);

 private:
  void grow(int64_t needed, const Tensor& like);

  Tensor keys_, values_;  // [batch, capacity, heads, head_size]
  int64_t length_ = 0;
};

/// Keys and values of the rows that come before others, [sequences, length, heads, head_size] each. Unlike
/// those of a cache, they may need gradients.
struct PastRows {
  Variable keys, values;
};

/// Multi-head self-attention over rows.
class SelfAttention : public Module {
 public:
  SelfAttention(const TransformerConfig& config, Generator& generator, double output_gain);

  /// x [rows, hidden] -> [n, hidden] at the rows `wanted` int32 [n] (all where undefined), plus `residual`
  /// [n, hidden]. All rows are attended to. `table` is null where positions are not rotary. With a cache,
  /// x holds the new rows of sequences of equal lengths; they are appended to the cache and attend to all
  /// that it holds.
  Variable forward(const Variable& x, const Sequences& sequences, const RotaryTable* table,
                   const ForwardContext& context, const Variable& residual = {}, const Tensor& wanted = {},
                   AttentionCache* cache = nullptr) const;
  /// The same for rows that are alternatives: `count` candidates for the next row of each sequence, x
  /// [sequences * count, hidden]. Each sees the past of its sequence and itself, and no other candidate.
  Variable forward_candidates(const Variable& x, const PastRows& past, const RotaryTable* table,
                              const ForwardContext& context, const Variable& residual = {},
                              const Tensor& wanted = {}) const;

 private:
  // Query, key and value of rows, [rows, 3, heads, head_size], turned where positions are rotary.
  Variable projected(const Variable& x, const RotaryTable* table) const;
  Variable attend_to_cache(const Variable& qkv, const Sequences& sequences, const ForwardContext& context,
                           AttentionCache& cache) const;

  int64_t heads_;
  double dropout_;
  bool causal_;
  Linear qkv_;  // query, key and value in one product: rows 0..h are query's, h..2h key's, 2h..3h value's
  Linear output_;
};

/// The keys and values of cross-attention come from it, such as the output of an encoder: rows [rows, hidden]
/// of as many sequences as attend to it. Sequence i attends to sequence i.
struct Memory {
  Variable rows;
  Sequences sequences;
};

/// Rows grouped by their sequence, as ragged attention takes them.
struct GroupedRows {
  Tensor offsets;  // int32 [sequences + 1]: where the rows of each sequence begin
  Tensor order,
      inverse;  // int32 [n]: bring rows into this order and back; undefined where they are so already

  /// Of rows in any order: row i belongs to sequence index[i], int32 [n], of `count`. Computed on the device.
  static GroupedRows of(const Tensor& index, int64_t count);
};

/// Multi-head attention of the rows of each sequence to a memory (Vaswani et al. 2017, section 3.2.3).
class CrossAttention : public Module {
 public:
  CrossAttention(const TransformerConfig& config, Generator& generator, double output_gain);

  /// Keys and values side by side, [rows, 2, heads, head_size], of a memory's rows [rows, hidden].
  Variable keys_of(const Variable& memory) const;
  /// x [n, hidden], whose sequences `rows` says -> [n, hidden], plus `residual` [n, hidden]. `keys` are those
  /// of a memory, whose sequences begin at `offsets` int32 [sequences + 1]. A row whose memory is empty
  /// attends to nothing: its attention is 0. Throws Error where the memory is of another number of sequences.
  Variable forward(const Variable& x, const GroupedRows& rows, const Variable& keys, const Tensor& offsets,
                   const ForwardContext& context, const Variable& residual = {}) const;

 private:
  int64_t heads_;
  double dropout_;
  Linear query_;
  Linear key_value_;  // rows 0..h are key's, h..2h value's
  Linear output_;
};

}  // namespace haze
