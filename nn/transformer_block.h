#pragma once

#include <memory>

#include "haze/nn/attention.h"

namespace haze {

/// Keys and values of the rows that one block has seen.
struct BlockCache {
  AttentionCache attention;
  Variable memory;  // keys and values of cross-attention; undefined before the first pass
};

/// The arguments of a block besides its rows; each belongs to the option of TransformerConfig that uses it.
struct BlockInputs {
  RotaryTable rotary;           // PositionKind::rotary
  Variable condition;           // TimeConditioning::adaptive: [sequences, hidden]
  Tensor t;                     // TimeConditioning::per_layer: [sequences] in [0, 1]
  Variable memory;              // cross_attention: [memory's rows, hidden]; undefined where the cache has it
  Tensor memory_offsets;        // of these rows, int32 [sequences + 1]
  GroupedRows queries;          // cross_attention: the rows `wanted`
  Tensor wanted;                // int32 [n]: rows to compute, all where undefined
  BlockCache* cache = nullptr;  // the rows given are new, and follow those in the cache
  PastRows past;                // the rows given are candidates for the next row; undefined: they are not
};

/// Self-attention, cross-attention where there is any, and an MLP, each with a residual connection and norm.
class TransformerBlock : public Module {
 public:
  TransformerBlock(const TransformerConfig& config, Generator& generator);

  /// x [rows, hidden] -> [n, hidden] at the rows inputs.wanted.
  Variable forward(const Variable& x, const Sequences& sequences, const BlockInputs& inputs,
                   const ForwardContext& context) const;

 private:
  Variable forward_plain(const Variable& x, const Sequences& sequences, const BlockInputs& inputs,
                         const ForwardContext& context) const;
  Variable forward_adaptive(const Variable& x, const Sequences& sequences, const BlockInputs& inputs,
                            const ForwardContext& context) const;
  Variable attend(const Variable& x, const Sequences& sequences, const BlockInputs& inputs,
                  const ForwardContext& context, const Variable& residual) const;
  Variable attend_to_memory(const Variable& x, const BlockInputs& inputs,
                            const ForwardContext& context) const;

  NormPlacement placement_;
  int64_t hidden_;
  LayerNorm norm1_;
  SelfAttention attention_;
  LayerNorm norm2_;
  Mlp mlp_;
  std::unique_ptr<Linear> modulation_;  // adaptive: shift, scale and gate for attention, then for the MLP
  std::unique_ptr<TimeEmbedding> time_embedding_;  // per_layer
  std::unique_ptr<LayerNorm> cross_norm_;
  std::unique_ptr<CrossAttention> cross_attention_;
};

/// Which sequence each of the rows `wanted` (all where undefined) belongs to, int32 [n].
Tensor sequence_index(const Sequences& sequences, const Tensor& wanted);

/// Part `part` of a modulation [sequences, parts hidden]: a shift, scale or gate for each sequence.
Variable modulation_part(const Variable& modulation, int64_t part, int64_t hidden);

/// norm(x) (1 + scale) + shift (Peebles and Xie 2023), for rows of the sequences `index` int32 [n]. Parts
/// `first` (shift) and `first` + 1 (scale) are read from `modulation` [sequences, parts hidden].
Variable modulate(const LayerNorm& norm, const Variable& x, const Variable& modulation, int64_t first,
                  const Tensor& index);

}  // namespace haze
