#include "haze/nn/transformer_block.h"

#include <cmath>

namespace haze {
namespace {

// Residual branches start small enough that the sum over all layers keeps its size (Radford et al. 2019,
// section 2.3).
double residual_gain(const TransformerConfig& config) {
  return 1 / std::sqrt(2.0 * static_cast<double>(config.layers));
}

}  // namespace

Tensor sequence_index(const Sequences& sequences, const Tensor& wanted) {
  return wanted.defined() ? index_select(sequences.index, 0, wanted) : sequences.index;
}

Variable modulation_part(const Variable& modulation, int64_t part, int64_t hidden) {
  return slice(modulation, 1, part * hidden, (part + 1) * hidden);
}

Variable modulate(const LayerNorm& norm, const Variable& x, const Variable& modulation, int64_t first,
                  const Tensor& index) {
  const Variable shift = modulation_part(modulation, first, x.size(1));
  const Variable scale = modulation_part(modulation, first + 1, x.size(1));
  return norm.forward(x, scale, shift, index);
}

TransformerBlock::TransformerBlock(const TransformerConfig& config, Generator& generator)
    : placement_(config.norm),
      hidden_(config.hidden),
      norm1_(config.hidden, config.epsilon(), !config.adaptive()),
      attention_(config, generator, residual_gain(config)),
      norm2_(config.hidden, config.epsilon(), !config.adaptive()),
      mlp_(config.hidden, config.mlp_ratio * config.hidden, config.mlp_activation(), config.dropout,
           generator, residual_gain(config)) {
  add_module("norm1", norm1_);
  add_module("attention", attention_);
  add_module("norm2", norm2_);
  add_module("mlp", mlp_);
  if (config.adaptive()) {
    modulation_ = std::make_unique<Linear>(hidden_, 6 * hidden_, generator, true, 0);
    add_module("modulation", *modulation_);
  }
  if (config.time == TimeConditioning::per_layer) {
    time_embedding_ = std::make_unique<TimeEmbedding>(hidden_, generator);
    add_module("time_embedding", *time_embedding_);
  }
  if (config.cross_attention) {
    cross_norm_ = std::make_unique<LayerNorm>(hidden_, config.epsilon());
    cross_attention_ = std::make_unique<CrossAttention>(config, generator, residual_gain(config));
    add_module("cross_norm", *cross_norm_);
    add_module("cross_attention", *cross_attention_);
  }
}

Variable TransformerBlock::forward(const Variable& x, const Sequences& sequences, const BlockInputs& inputs,
                                   const ForwardContext& context) const {
  return modulation_ ? forward_adaptive(x, sequences, inputs, context)
                     : forward_plain(x, sequences, inputs, context);
}

Variable TransformerBlock::attend(const Variable& x, const Sequences& sequences, const BlockInputs& inputs,
                                  const ForwardContext& context, const Variable& residual) const {
  const RotaryTable* rotary = inputs.rotary.cosine.defined() ? &inputs.rotary : nullptr;
  if (inputs.past.keys.defined())
    return attention_.forward_candidates(x, inputs.past, rotary, context, residual, inputs.wanted);
  return attention_.forward(x, sequences, rotary, context, residual, inputs.wanted,
                            inputs.cache ? &inputs.cache->attention : nullptr);
}

Variable TransformerBlock::forward_plain(const Variable& x, const Sequences& sequences,
                                         const BlockInputs& inputs, const ForwardContext& context) const {
  const bool pre = placement_ == NormPlacement::pre;
  const Tensor index = sequence_index(sequences, inputs.wanted);
  Variable residual = rows_of(x, inputs.wanted);
  if (time_embedding_) residual = residual + index_select(time_embedding_->forward(inputs.t), 0, index);
  Variable y = attend(pre ? norm1_.forward(x) : x, sequences, inputs, context, residual);
  if (!pre) y = norm1_.forward(y);
  if (cross_attention_) y = attend_to_memory(y, inputs, context);
  return pre ? mlp_.forward(norm2_.forward(y), context, y) : norm2_.forward(mlp_.forward(y, context, y));
}

Variable TransformerBlock::forward_adaptive(const Variable& x, const Sequences& sequences,
                                            const BlockInputs& inputs, const ForwardContext& context) const {
  const Variable modulation = modulation_->forward(inputs.condition);  // [sequences, 6 hidden]
  const Tensor index = sequence_index(sequences, inputs.wanted);
  const auto gate = [&](int64_t part) { return modulation_part(modulation, part, hidden_); };
  const Variable attended =
      attend(modulate(norm1_, x, modulation, 0, sequences.index), sequences, inputs, context, {});
  Variable y = gated_add(rows_of(x, inputs.wanted), gate(2), attended, index);
  if (cross_attention_) y = attend_to_memory(y, inputs, context);
  const Variable branch = mlp_.forward(modulate(norm2_, y, modulation, 3, index), context);
  return gated_add(y, gate(5), branch, index);
}

Variable TransformerBlock::attend_to_memory(const Variable& x, const BlockInputs& inputs,
                                            const ForwardContext& context) const {
  Variable uncached;
  Variable& keys = inputs.cache ? inputs.cache->memory : uncached;
  if (!keys.defined()) keys = cross_attention_->keys_of(inputs.memory);
  const auto attended = [&](const Variable& rows) {
    return cross_attention_->forward(rows, inputs.queries, keys, inputs.memory_offsets, context, x);
  };
  return placement_ == NormPlacement::pre ? attended(cross_norm_->forward(x))
                                          : cross_norm_->forward(attended(x));
}

}  // namespace haze
