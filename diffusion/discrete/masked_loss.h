#pragma once

#include <vector>

#include "haze/diffusion/discrete/denoiser.h"

namespace haze {

/// A loss of a batch and what it is made of.
struct DiffusionLoss {
  Variable total;            // scalar to minimise, in nats per token
  double bound = 0;          // estimate of the variational bound, in nats per token
  double cross_entropy = 0;  // mean -log p(x_0 | x_t) of masked tokens, in nats
};

/// One number for each sequence of a batch.
struct SequenceWeights {
  std::vector<double> time;          // what the denoiser is told, in [0, 1]
  std::vector<double> weight;        // of the cross-entropy of each masked token in the loss
  std::vector<double> bound_weight;  // of the same in the variational bound
};

/// sum_i weight_i sum_{masked tokens of i} -log p(x_0 | x_t), divided by the number of tokens of the batch.
/// Both the discrete-time and the continuous-time bound of masked diffusion have this form.
DiffusionLoss masked_loss(const Denoiser& denoiser, const TextBatch& x_0, const MaskedBatch& masked,
                          const SequenceWeights& weights, const ForwardContext& context);

/// sum_{masked tokens of i} -log p(x_0 | x_t) for each sequence i, in nats. Records nothing.
std::vector<double> sequence_losses(const Denoiser& denoiser, const TextBatch& x_0, const MaskedBatch& masked,
                                    const std::vector<double>& time);

}  // namespace haze
