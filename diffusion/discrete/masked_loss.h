#pragma once

#include <span>
#include <vector>

#include "haze/diffusion/discrete/denoiser.h"
#include "haze/diffusion/discrete/masking.h"
#include "haze/diffusion/model.h"

/// The weighted cross-entropy that all losses and bounds of masked diffusion come down to:
///   sum over sequences i of  weight_i CE_i,   CE_i = sum over the masked tokens of i of -log p(x_0 | x_t).
namespace haze {

/// One number for each sequence of a batch.
struct SequenceWeights {
  std::vector<double> time;          // what the denoiser is told, in [0, 1]
  std::vector<double> weight;        // of CE_i in the loss
  std::vector<double> bound_weight;  // of CE_i in the variational bound
};

/// x_t of a batch, and all that its loss needs besides the network: what Model::prepare() draws.
struct Corruption : Prepared {
  Corruption(const TextBatch& x_0, const MaskedBatch& masked, const SequenceWeights& weights);

  DenoiserInput input;   // x_t, its times, and the masked rows
  Tensor targets;        // int32 [n]: x_0 at the masked rows
  Tensor row_weights;    // float32 [n]: of -log p in the loss, which is a mean over the tokens of the batch
  Tensor bound_weights;  // float64 [n]: of -log p in the bound, which is a sum over them
  Tensor per_token;      // float64 []: 1 over the tokens of the batch
  Tensor per_masked;     // float64 []: 1 over the masked ones, or 1 where there are none

  std::vector<Tensor> tensors() const override;
  std::shared_ptr<const Prepared> to(Device device) const override;

  /// With rows, and with masked rows, rounded up to a multiple of `multiple`. Rows that are added are masks,
  /// in sequences of their own of `max_length` tokens at most, of which there is always the same number. They
  /// have no target and no weight.
  Corruption padded(int64_t multiple, int64_t max_length, int32_t mask_id) const;
};

/// Throws Error, in a sentence that names the model, where a text holds the denoiser's mask or an id outside
/// its vocabulary.
void check_texts(const TextBatch& x_0, const Denoiser& denoiser, std::string_view model);

/// sum_i weight_i CE_i / tokens of the batch. Reads nothing on the host. Its log has two scalars: "bound", an
/// estimate of the variational bound in nats per token, and "cross_entropy", the mean of -log p(x_0 | x_t)
/// over masked tokens in nats. Its inputs are x_t, offsets, time, masked, targets and row_weights.
Loss masked_loss(const Denoiser& denoiser, const Corruption& corruption, const ForwardContext& context);

/// bound_weight_i CE_i for each sequence i, in nats. Records nothing.
std::vector<double> sequence_nats(const Denoiser& denoiser, const Corruption& corruption);

}  // namespace haze
