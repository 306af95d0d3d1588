#pragma once

#include <memory>
#include <vector>

#include "haze/nn/positions.h"
#include "haze/nn/sequences.h"

namespace haze {

/// Where a block normalises.
enum class NormPlacement {
  pre,       // x + f(norm(x)), and a norm at the end (GPT-2)
  post,      // norm(x + f(x)), and a norm after the embedding (BERT)
  adaptive,  // as pre, with shift, scale and gate computed from a condition (DiT's adaLN-Zero)
};

struct TransformerConfig {
  int64_t vocabulary = 0;  // ids it takes
  int64_t hidden = 256;
  int64_t layers = 4;
  int64_t heads = 8;
  int64_t mlp_ratio = 4;
  int64_t max_length = 64;
  NormPlacement norm = NormPlacement::pre;
  PositionKind positions = PositionKind::learned;
  double dropout = 0;
  bool causal = false;
  bool checkpoint_activations =
      false;  // keep only the input of each block, compute the rest again in backward
};

/// Multi-head self-attention over rows.
class SelfAttention : public Module {
 public:
  SelfAttention(const TransformerConfig& config, Generator& generator, double output_gain);

  /// x [rows, hidden] -> [n, hidden] at the rows `wanted` int32 [n] (all where undefined), plus `residual`
  /// [n, hidden]. All rows are attended to. `rotary` is null where positions are not rotary.
  Variable forward(const Variable& x, const Sequences& sequences, const RotaryTable* rotary,
                   const ForwardContext& context, const Variable& residual = {},
                   const Tensor& wanted = {}) const;

 private:
  int64_t heads_;
  double dropout_;
  bool causal_;
  Linear qkv_;  // query, key and value in one product: rows 0..h are query's, h..2h key's, 2h..3h value's
  Linear output_;
};

class TransformerBlock : public Module {
 public:
  TransformerBlock(const TransformerConfig& config, Generator& generator);

  /// x [rows, hidden] -> [n, hidden] at the rows `wanted` int32 [n], all where undefined. `condition`
  /// [sequences, hidden] belongs to NormPlacement::adaptive.
  Variable forward(const Variable& x, const Sequences& sequences, const RotaryTable* rotary,
                   const Variable& condition, const ForwardContext& context, const Tensor& wanted = {}) const;

 private:
  Variable forward_adaptive(const Variable& x, const Sequences& sequences, const RotaryTable* rotary,
                            const Variable& condition, const ForwardContext& context,
                            const Tensor& wanted) const;

  NormPlacement placement_;
  int64_t hidden_;
  LayerNorm norm1_;
  SelfAttention attention_;
  LayerNorm norm2_;
  Mlp mlp_;
  std::unique_ptr<Linear> modulation_;  // adaptive: shift, scale and gate for attention, then for the MLP
};

/// Token ids to hidden vectors; bidirectional unless config.causal.
class Transformer : public Module {
 public:
  /// Throws Error where the configuration makes no network.
  Transformer(const TransformerConfig& config, Generator& generator);

  /// ids int32 [rows] -> [n, hidden] at the rows `wanted` int32 [n], all where undefined: after the last
  /// attention, no other row is computed. `t` float32 [sequences] in [0, 1] belongs to
  /// NormPlacement::adaptive and may be undefined otherwise. Throws Error where a sequence is longer than
  /// max_length.
  Variable forward(const Tensor& ids, const Sequences& sequences, const Tensor& t,
                   const ForwardContext& context, const Tensor& wanted = {}) const;

  const TransformerConfig& config() const { return config_; }

 private:
  Variable embed(const Tensor& ids, const Sequences& sequences) const;
  Variable finish(const Variable& x, const Tensor& index, const Variable& condition) const;

  TransformerConfig config_;
  Embedding token_embedding_;
  std::unique_ptr<Embedding> position_embedding_;
  std::unique_ptr<TimeEmbedding> time_embedding_;
  std::vector<std::unique_ptr<TransformerBlock>> blocks_;
  LayerNorm norm_;  // final for pre and adaptive, after the embedding for post
  std::unique_ptr<Linear> final_modulation_;
};

}  // namespace haze
