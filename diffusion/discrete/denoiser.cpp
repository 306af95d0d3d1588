#include "haze/diffusion/discrete/denoiser.h"

#include <algorithm>
#include <limits>

namespace haze {
namespace {

TransformerConfig reading_mask(TransformerConfig config, int32_t mask_id) {
  if (mask_id < 0) fail("denoiser: the mask's id {} is negative", mask_id);
  config.vocabulary = std::max<int64_t>(config.vocabulary, int64_t{mask_id} + 1);
  return config;
}

}  // namespace

CrossEntropy Denoiser::cross_entropy(const DenoiserInput& input, const Tensor& targets,
                                     const Tensor& row_weights, const ForwardContext& context) const {
  const Variable log_p = log_softmax(logits(input, context));
  const Variable losses = -reshape(gather(log_p, 1, unsqueeze(targets, 1)), {targets.size(0)});
  return {sum(losses * Variable(cast(row_weights, losses.dtype()))), losses.value()};
}

TransformerDenoiser::TransformerDenoiser(const TransformerConfig& config, int32_t mask_id,
                                         Generator& generator)
    : vocabulary_(config.vocabulary),
      mask_id_(mask_id),
      transformer_(reading_mask(config, mask_id), generator),
      head_(config.hidden, config.vocabulary, generator) {
  add_module("transformer", transformer_);
  add_module("head", head_);
  if (mask_id < vocabulary_) {
    never_predicted_ = zeros({vocabulary_});
    fill(slice(never_predicted_, 0, mask_id, mask_id + 1), -std::numeric_limits<double>::infinity());
  }
}

Variable TransformerDenoiser::hidden(const DenoiserInput& input, const ForwardContext& context) const {
  return transformer_.forward(input.x_t, input.sequences, input.t, context, input.rows);
}

Variable TransformerDenoiser::head_bias() const {
  if (!never_predicted_.defined()) return head_.bias();
  return head_.bias() + Variable(cast(never_predicted_, head_.bias().dtype()));
}

Variable TransformerDenoiser::logits(const DenoiserInput& input, const ForwardContext& context) const {
  const Variable logits = head_.forward(hidden(input, context));
  return never_predicted_.defined() ? logits + Variable(cast(never_predicted_, logits.dtype())) : logits;
}

CrossEntropy TransformerDenoiser::cross_entropy(const DenoiserInput& input, const Tensor& targets,
                                                const Tensor& row_weights,
                                                const ForwardContext& context) const {
  const Variable h = hidden(input, context);
  return linear_cross_entropy(h, head_.weight(), head_bias(), targets, cast(row_weights, h.dtype()));
}

}  // namespace haze
