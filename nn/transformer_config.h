#pragma once

#include <optional>
#include <string_view>

#include "haze/nn/positions.h"

namespace haze {

/// The place of the norms in a block.
enum class NormPlacement {
  pre,   // x + f(norm(x)), and a norm at the end (GPT-2)
  post,  // norm(x + f(x)), and a norm of the input (BERT)
};

/// How the network learns the time t of each sequence.
enum class TimeConditioning {
  none,
  added,      // a time embedding is added to the input rows (Li et al. 2022)
  per_layer,  // each block adds its own time embedding to its attention (DiffusionBERT's LTE, He et al. 2022)
  prefix,     // a time embedding is a row before each sequence (DiffusionBERT's PTE)
  adaptive,   // shift, scale and gate of each block are computed from it (adaLN-Zero of DiT); needs pre
};

/// A stack of transformer blocks: [rows, hidden] -> [rows, hidden]. Its input is
/// made by a module of inputs.h, its output read by one of heads.h.
struct TransformerConfig {
  int64_t hidden = 256;
  int64_t layers = 4;
  int64_t heads = 8;
  int64_t mlp_ratio = 4;    // width of the MLP's inner layer, in multiples of hidden
  int64_t max_length = 64;  // of a sequence, in rows
  NormPlacement norm = NormPlacement::pre;
  TimeConditioning time = TimeConditioning::none;
  PositionKind positions = PositionKind::learned;
  std::optional<Activation> activation;  // of the MLP; by default gelu_tanh for pre and gelu for post
  std::optional<double> norm_epsilon;    // by default 1e-5 for pre (GPT-2) and 1e-12 for post (BERT)
  double dropout = 0;                    // of the input, attention weights and residual branches
  bool causal = false;                   // a row sees itself and the rows before it
  bool cross_attention = false;          // each block also attends to a memory, after its self-attention
  bool checkpoint_activations = false;   // keep the input of each block alone, recompute the rest in backward

  Activation mlp_activation() const;
  double epsilon() const;
  bool adaptive() const { return time == TimeConditioning::adaptive; }
};

/// Throws Error where the configuration makes no network; otherwise returns it.
const TransformerConfig& checked_config(const TransformerConfig& config);

}  // namespace haze
