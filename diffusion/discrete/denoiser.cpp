#include "haze/diffusion/discrete/denoiser.h"

namespace haze {

CrossEntropy Denoiser::cross_entropy(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                     const Tensor& rows, const Tensor& targets, const Tensor& row_weights,
                                     const ForwardContext& context) const {
  const Variable log_p = log_softmax(logits(x_t, sequences, t, rows, context));
  const Variable losses = -reshape(gather(log_p, 1, unsqueeze(targets, 1)), {targets.size(0)});
  return {sum(losses * Variable(cast(row_weights, losses.dtype()))), losses.value()};
}

TransformerDenoiser::TransformerDenoiser(int64_t vocabulary, const TransformerConfig& config,
                                         Generator& generator)
    : transformer_(vocabulary + 1, config, generator), head_(config.hidden, vocabulary, generator) {
  add_module("transformer", transformer_);
  add_module("head", head_);
}

Variable TransformerDenoiser::hidden(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                     const Tensor& rows, const ForwardContext& context) const {
  return transformer_.forward(x_t, sequences, t, context, {.wanted = rows});
}

Variable TransformerDenoiser::logits(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                     const Tensor& rows, const ForwardContext& context) const {
  return head_.logits(hidden(x_t, sequences, t, rows, context));
}

CrossEntropy TransformerDenoiser::cross_entropy(const Tensor& x_t, const Sequences& sequences,
                                                const Tensor& t, const Tensor& rows, const Tensor& targets,
                                                const Tensor& row_weights,
                                                const ForwardContext& context) const {
  return head_.cross_entropy(hidden(x_t, sequences, t, rows, context), targets, row_weights);
}

}  // namespace haze
