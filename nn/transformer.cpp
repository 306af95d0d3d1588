#include "haze/nn/transformer.h"

#include <cmath>

namespace haze {
namespace {

// Residual branches start small enough that the sum over all layers keeps its size (Radford et al. 2019,
// section 2.3).
double residual_gain(const TransformerConfig& config) {
  return 1 / std::sqrt(2.0 * static_cast<double>(config.layers));
}

double norm_epsilon(const TransformerConfig& config) {
  return config.norm == NormPlacement::post ? 1e-12 : 1e-5;
}

bool has_affine_norms(const TransformerConfig& config) {
  return config.norm != NormPlacement::adaptive;
}

const TransformerConfig& checked(const TransformerConfig& c) {
  if (c.vocabulary < 1 || c.hidden < 1 || c.layers < 1 || c.heads < 1 || c.mlp_ratio < 1 ||
      c.max_length < 1) {
    fail(
        "Transformer: vocabulary {}, hidden {}, layers {}, heads {}, mlp_ratio {} and max_length {} must be "
        "positive",
        c.vocabulary, c.hidden, c.layers, c.heads, c.mlp_ratio, c.max_length);
  }
  if (c.hidden % c.heads != 0)
    fail("Transformer: hidden {} is not a multiple of heads {}", c.hidden, c.heads);
  if (c.positions == PositionKind::rotary && c.hidden / c.heads % 2 != 0) {
    fail("Transformer: rotary positions need an even head size, hidden {} / heads {} is {}", c.hidden,
         c.heads, c.hidden / c.heads);
  }
  if (!(c.dropout >= 0 && c.dropout < 1)) fail("Transformer: dropout {} is not in [0, 1)", c.dropout);
  return c;
}

// x (1 + scale) + shift, with scale and shift [rows, hidden].
Variable modulate(const Variable& x, const Variable& shift, const Variable& scale) {
  return x * (scale + 1) + shift;
}

// Part i of a condition's modulation [sequences, parts hidden], for rows of the sequences `index` int32 [n].
Variable modulation_part(const Variable& modulation, int64_t i, int64_t hidden, const Tensor& index) {
  return index_select(slice(modulation, 1, i * hidden, (i + 1) * hidden), 0, index);
}

// The rows `wanted` of x, all where undefined.
Variable rows_of(const Variable& x, const Tensor& wanted) {
  return wanted.defined() ? index_select(x, 0, wanted) : x;
}

// Which sequence each of the rows `wanted` belongs to.
Tensor sequence_index(const Sequences& sequences, const Tensor& wanted) {
  return wanted.defined() ? index_select(sequences.index, 0, wanted) : sequences.index;
}

}  // namespace

SelfAttention::SelfAttention(const TransformerConfig& config, Generator& generator, double output_gain)
    : heads_(config.heads),
      dropout_(config.dropout),
      causal_(config.causal),
      qkv_(config.hidden, 3 * config.hidden, generator),
      output_(config.hidden, config.hidden, generator, true, output_gain) {
  add_module("qkv", qkv_);
  add_module("output", output_);
}

Variable SelfAttention::forward(const Variable& x, const Sequences& sequences, const RotaryTable* rotary,
                                const ForwardContext& context, const Variable& residual,
                                const Tensor& wanted) const {
  const int64_t rows = x.size(0), hidden = x.size(1), head_size = hidden / heads_;
  Variable qkv = reshape(qkv_.forward(x), {rows, 3, heads_, head_size});
  if (rotary) {
    const auto part = [&](int64_t i) { return reshape(slice(qkv, 1, i, i + 1), {rows, heads_, head_size}); };
    qkv = concat({unsqueeze(apply_rotary(part(0), *rotary), 1), unsqueeze(apply_rotary(part(1), *rotary), 1),
                  slice(qkv, 1, 2, 3)},
                 1);
  }
  AttentionOptions options;
  options.sequence_offsets = sequences.offsets;
  options.causal = causal_;
  options.dropout = context.rate(dropout_);
  const Variable mixed =
      rows_of(reshape(self_attention(qkv, options, context.generator), {rows, hidden}), wanted);
  if (options.dropout == 0) return output_.forward(mixed, Activation::none, residual);
  const Variable result = context.drop(output_.forward(mixed), dropout_);
  return residual.defined() ? result + residual : result;
}

TransformerBlock::TransformerBlock(const TransformerConfig& config, Generator& generator)
    : placement_(config.norm),
      hidden_(config.hidden),
      norm1_(config.hidden, norm_epsilon(config), has_affine_norms(config)),
      attention_(config, generator, residual_gain(config)),
      norm2_(config.hidden, norm_epsilon(config), has_affine_norms(config)),
      mlp_(config.hidden, config.mlp_ratio * config.hidden,
           config.norm == NormPlacement::post ? Activation::gelu : Activation::gelu_tanh, config.dropout,
           generator, residual_gain(config)) {
  add_module("norm1", norm1_);
  add_module("attention", attention_);
  add_module("norm2", norm2_);
  add_module("mlp", mlp_);
  if (placement_ == NormPlacement::adaptive) {
    modulation_ = std::make_unique<Linear>(hidden_, 6 * hidden_, generator, true, 0);
    add_module("modulation", *modulation_);
  }
}

Variable TransformerBlock::forward(const Variable& x, const Sequences& sequences, const RotaryTable* rotary,
                                   const Variable& condition, const ForwardContext& context,
                                   const Tensor& wanted) const {
  switch (placement_) {
    case NormPlacement::pre: {
      const Variable attended =
          attention_.forward(norm1_.forward(x), sequences, rotary, context, rows_of(x, wanted), wanted);
      return mlp_.forward(norm2_.forward(attended), context, attended);
    }
    case NormPlacement::post: {
      const Variable attended =
          norm1_.forward(attention_.forward(x, sequences, rotary, context, rows_of(x, wanted), wanted));
      return norm2_.forward(mlp_.forward(attended, context, attended));
    }
    case NormPlacement::adaptive:
      return forward_adaptive(x, sequences, rotary, condition, context, wanted);
  }
  return x;
}

Variable TransformerBlock::forward_adaptive(const Variable& x, const Sequences& sequences,
                                            const RotaryTable* rotary, const Variable& condition,
                                            const ForwardContext& context, const Tensor& wanted) const {
  const Variable modulation = modulation_->forward(condition);  // [sequences, 6 hidden]
  const auto part_at = [&](int64_t i, const Tensor& index) {
    return modulation_part(modulation, i, hidden_, index);
  };
  const Variable attention_input =
      modulate(norm1_.forward(x), part_at(0, sequences.index), part_at(1, sequences.index));
  const Tensor index = sequence_index(sequences, wanted);
  const auto part = [&](int64_t i) { return part_at(i, index); };
  const Variable attended = rows_of(x, wanted) + part(2) * attention_.forward(attention_input, sequences,
                                                                              rotary, context, {}, wanted);
  const Variable mlp_input = modulate(norm2_.forward(attended), part(3), part(4));
  return attended + part(5) * mlp_.forward(mlp_input, context);
}

Transformer::Transformer(const TransformerConfig& config, Generator& generator)
    : config_(checked(config)),
      token_embedding_(config.vocabulary, config.hidden, generator),
      norm_(config.hidden, norm_epsilon(config), has_affine_norms(config)) {
  add_module("token_embedding", token_embedding_);
  if (config.positions == PositionKind::learned) {
    position_embedding_ = std::make_unique<Embedding>(config.max_length, config.hidden, generator);
    add_module("position_embedding", *position_embedding_);
  }
  if (config.norm == NormPlacement::adaptive) {
    time_embedding_ = std::make_unique<TimeEmbedding>(config.hidden, generator);
    add_module("time_embedding", *time_embedding_);
  }
  for (int64_t i = 0; i < config.layers; ++i) {
    blocks_.push_back(std::make_unique<TransformerBlock>(config, generator));
    add_module("blocks." + std::to_string(i), *blocks_.back());
  }
  add_module(config.norm == NormPlacement::post ? "embedding_norm" : "final_norm", norm_);
  if (config.norm == NormPlacement::adaptive) {
    final_modulation_ = std::make_unique<Linear>(config.hidden, 2 * config.hidden, generator, true, 0);
    add_module("final_modulation", *final_modulation_);
  }
}

Variable Transformer::embed(const Tensor& ids, const Sequences& sequences) const {
  Variable x = token_embedding_.forward(ids);
  if (position_embedding_) x = x + position_embedding_->forward(sequences.positions);
  if (config_.positions == PositionKind::sinusoidal) {
    const Tensor table = sinusoidal_embedding(cast(sequences.positions, x.dtype()), config_.hidden);
    x = x + Variable(table);
  }
  return config_.norm == NormPlacement::post ? norm_.forward(x) : x;
}

Variable Transformer::finish(const Variable& x, const Tensor& index, const Variable& condition) const {
  switch (config_.norm) {
    case NormPlacement::pre:
      return norm_.forward(x);
    case NormPlacement::post:
      return x;
    case NormPlacement::adaptive:
      break;
  }
  const Variable modulation = final_modulation_->forward(condition);
  return modulate(norm_.forward(x), modulation_part(modulation, 0, config_.hidden, index),
                  modulation_part(modulation, 1, config_.hidden, index));
}

Variable Transformer::forward(const Tensor& ids, const Sequences& sequences, const Tensor& t,
                              const ForwardContext& context, const Tensor& wanted) const {
  if (ids.rank() != 1 || ids.size(0) != sequences.rows) {
    fail("Transformer: ids have shape {}, the sequences {} rows", ids.shape().to_string(), sequences.rows);
  }
  if (sequences.longest > config_.max_length) {
    fail("Transformer: a sequence of {} tokens is longer than max_length {}", sequences.longest,
         config_.max_length);
  }
  Variable condition;
  if (time_embedding_) {
    if (!t.defined() || !(t.shape() == Shape{sequences.count})) {
      fail("Transformer: adaptive norms need a time for each of the {} sequences", sequences.count);
    }
    condition = silu(time_embedding_->forward(t));
  }
  Variable x = context.drop(embed(ids, sequences), config_.dropout);
  RotaryTable table;
  if (config_.positions == PositionKind::rotary) {
    table = rotary_table(sequences.positions, config_.hidden / config_.heads, x.dtype());
  }
  for (const auto& block : blocks_) {
    const Tensor wanted_here = block == blocks_.back() ? wanted : Tensor();
    if (config_.checkpoint_activations && gradients_enabled()) {
      // The backward pass runs after this function has returned: what the block needs is kept by value.
      const auto run = [block = block.get(), sequences, table, wanted_here, training = context.training](
                           const std::vector<Variable>& inputs, Generator* generator) {
        return block->forward(inputs[0], sequences, table.cosine.defined() ? &table : nullptr, inputs[1],
                              {.training = training, .generator = generator}, wanted_here);
      };
      x = checkpoint(run, {x, condition}, context.generator);
    } else {
      x = block->forward(x, sequences, table.cosine.defined() ? &table : nullptr, condition, context,
                         wanted_here);
    }
  }
  return finish(x, sequence_index(sequences, wanted), condition);
}

}  // namespace haze
