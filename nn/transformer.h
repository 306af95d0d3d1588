#pragma once

#include <memory>
#include <vector>

#include "haze/nn/transformer_block.h"

namespace haze {

/// Keys and values of the rows that a causal transformer has seen, so that a pass computes the new rows
/// alone. It starts empty, and belongs to one batch of sequences of equal lengths.
struct TransformerCache {
  std::vector<BlockCache> blocks;
  Sequences memory;  // of the memory that cross-attention reads

  /// Rows of each sequence that have been seen.
  int64_t length() const { return blocks.empty() ? 0 : blocks.front().attention.length(); }
  /// Sequence i becomes the former sequence entries[i]: what a beam search keeps. Throws Error where there is
  /// no such sequence.
  void select(const std::vector<int32_t>& entries);

  /// The first `length` rows of each sequence, one PastRows a block; views of the cache.
  std::vector<PastRows> past(int64_t length) const;
  /// A cache of these rows, copied, without gradients.
  static TransformerCache of(const std::vector<PastRows>& past);
};

/// Arguments that only some forward passes need.
struct TransformerOptions {
  Tensor wanted;                      // int32 [n]: the rows that come out, all where undefined
  Memory memory;                      // what cross-attention reads
  TransformerCache* cache = nullptr;  // the rows given are new, and follow those in the cache
  /// One for each block, of at least one row: the rows given are candidates for the row that comes next. Each
  /// sequence has equally many, and a candidate sees the past and itself alone. Gradients flow to the past.
  std::vector<PastRows> past;
};

/// A stack of transformer blocks: vectors to vectors, bidirectional unless config.causal.
class Transformer : public Module {
 public:
  /// Throws Error where the configuration makes no network.
  Transformer(const TransformerConfig& config, Generator& generator);

  /// x [rows, hidden] -> [n, hidden] at the rows options.wanted: after the last attention, no other row is
  /// computed. Positions are added here. `t` float32 [sequences] in [0, 1] belongs to
  /// TransformerConfig::time and may be undefined where that is none. The memory belongs to cross_attention;
  /// with a cache, the first pass alone takes it. A cache needs NoGradient, causal, sequences of equal
  /// lengths, and no time prefix; so does a past, but for NoGradient, and it takes no memory. Throws Error
  /// where an argument is missing or does not fit, and where a sequence, cached rows included, is longer than
  /// max_length.
  Variable forward(const Variable& x, const Sequences& sequences, const Tensor& t,
                   const ForwardContext& context, const TransformerOptions& options = {}) const;

  const TransformerConfig& config() const { return config_; }

 private:
  void check_inputs(const Variable& x, const Sequences& sequences, const Tensor& t,
                    const TransformerOptions& options) const;
  void check_memory(const Sequences& sequences, const TransformerOptions& options) const;
  void check_cache(const TransformerOptions& options) const;
  void check_past(const Sequences& sequences, const TransformerOptions& options) const;
  Variable with_positions(const Variable& x, const Tensor& positions) const;
  Variable run_block(size_t layer, const Variable& x, const Sequences& sequences, BlockInputs inputs,
                     const ForwardContext& context) const;
  Variable finish(const Variable& x, const Tensor& index, const Variable& condition) const;

  TransformerConfig config_;
  std::unique_ptr<Embedding> position_embedding_;
  Tensor position_waves_;  // sinusoidal and rotary positions: float64 [max_length, hidden or head size]
  std::unique_ptr<TimeEmbedding> time_embedding_;
  std::vector<std::unique_ptr<TransformerBlock>> blocks_;
  LayerNorm norm_;  // final for pre, of the input for post
  std::unique_ptr<Linear> final_modulation_;
};

}  // namespace haze
