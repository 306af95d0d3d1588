#include "haze/diffusion/discrete/denoiser.h"

#include <algorithm>
#include <iterator>

namespace haze {
namespace {

// Ids that the network reads: those of texts and the mask.
int64_t ids_read(int64_t vocabulary, int32_t mask_id) {
  if (mask_id < 0) fail("denoiser: the mask's id {} is negative", mask_id);
  return std::max<int64_t>(vocabulary, int64_t{mask_id} + 1);
}

TokenHeadOptions head_options(int64_t vocabulary, int32_t mask_id) {
  TokenHeadOptions options;
  if (mask_id < vocabulary) options.impossible = mask_id;
  return options;
}

}  // namespace

bool DenoiserInput::is_on(Device device) const {
  const auto is_there = [&](const Tensor* x) { return !x->defined() || x->device() == device; };
  const Tensor* const tensors[] = {&x_t, &sequences.offsets, &t, &rows};
  return std::all_of(std::begin(tensors), std::end(tensors), is_there);
}

DenoiserInput DenoiserInput::to(Device device) const {
  const auto moved = [&](const Tensor& x) { return x.defined() ? haze::to(x, device) : x; };
  return {moved(x_t), sequences.to(device), moved(t), moved(rows)};
}

CrossEntropy Denoiser::cross_entropy(const DenoiserInput& input, const Tensor& targets,
                                     const Tensor& row_weights, const ForwardContext& context) const {
  const Variable log_p = log_softmax(logits(input, context));
  const Tensor of_targets = unsqueeze(to(targets, log_p.device()), 1),
               weights = to(row_weights, log_p.device());
  const Variable losses = -reshape(gather(log_p, 1, of_targets), {targets.size(0)});
  return {sum(losses * Variable(cast(weights, losses.dtype()))), losses.value()};
}

TransformerDenoiser::TransformerDenoiser(int64_t vocabulary, const TransformerConfig& config, int32_t mask_id,
                                         Generator& generator)
    : mask_id_(mask_id),
      transformer_(ids_read(vocabulary, mask_id), config, generator),
      head_(config.hidden, vocabulary, generator, head_options(vocabulary, mask_id)) {
  add_module("transformer", transformer_);
  add_module("head", head_);
}

Variable TransformerDenoiser::hidden(const DenoiserInput& input, const ForwardContext& context) const {
  // A copy of the input has a copy of its list of lengths.
  if (!input.is_on(device())) return hidden(input.to(device()), context);
  return transformer_.forward(input.x_t, input.sequences, input.t, context, {.wanted = input.rows});
}

Variable TransformerDenoiser::logits(const DenoiserInput& input, const ForwardContext& context) const {
  return head_.logits(hidden(input, context));
}

CrossEntropy TransformerDenoiser::cross_entropy(const DenoiserInput& input, const Tensor& targets,
                                                const Tensor& row_weights,
                                                const ForwardContext& context) const {
  return head_.cross_entropy(hidden(input, context), haze::to(targets, device()),
                             haze::to(row_weights, device()), kNoTarget);
}

}  // namespace haze
