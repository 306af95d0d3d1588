#include "haze/diffusion/discrete/denoiser.h"

namespace haze {
namespace {

TransformerConfig with_mask(TransformerConfig config) {
  ++config.vocabulary;
  return config;
}

}  // namespace

CrossEntropy Denoiser::cross_entropy(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                     const Tensor& rows, const Tensor& targets, const Tensor& row_weights,
                                     const ForwardContext& context) const {
  const Variable log_p = log_softmax(logits(x_t, sequences, t, rows, context));
  const Variable losses = -reshape(gather(log_p, 1, unsqueeze(targets, 1)), {targets.size(0)});
  return {sum(losses * Variable(cast(row_weights, losses.dtype()))), losses.value()};
}

TransformerDenoiser::TransformerDenoiser(const TransformerConfig& config, Generator& generator)
    : vocabulary_(config.vocabulary),
      transformer_(with_mask(config), generator),
      head_(config.hidden, config.vocabulary, generator) {
  add_module("transformer", transformer_);
  add_module("head", head_);
}

Variable TransformerDenoiser::hidden(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                     const Tensor& rows, const ForwardContext& context) const {
  return transformer_.forward(x_t, sequences, t, context, rows);
}

Variable TransformerDenoiser::logits(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                     const Tensor& rows, const ForwardContext& context) const {
  return head_.forward(hidden(x_t, sequences, t, rows, context));
}

CrossEntropy TransformerDenoiser::cross_entropy(const Tensor& x_t, const Sequences& sequences,
                                                const Tensor& t, const Tensor& rows, const Tensor& targets,
                                                const Tensor& row_weights,
                                                const ForwardContext& context) const {
  const Variable h = hidden(x_t, sequences, t, rows, context);
  return linear_cross_entropy(h, head_.weight(), head_.bias(), targets, cast(row_weights, h.dtype()));
}

}  // namespace haze
