#include "haze/diffusion/discrete/masked_loss.h"

#include <algorithm>

namespace haze {
namespace {

Tensor as_time(const std::vector<double>& time) {
  return cast(Tensor::from(time, {static_cast<int64_t>(time.size())}), Dtype::float32);
}

// values[sequence of the row] for each masked row.
std::vector<double> per_row(const TextBatch& x_0, const MaskedBatch& masked,
                            const std::vector<double>& values) {
  const int32_t* index = x_0.sequences.index.data<int32_t>();
  std::vector<double> result;
  for (int32_t row : masked.masked.to_vector<int32_t>()) result.push_back(values[index[row]]);
  return result;
}

Tensor as_row_weights(const std::vector<double>& weights, double scale, Dtype dtype) {
  return cast(scale_shift(Tensor::from(weights, {static_cast<int64_t>(weights.size())}), scale, 0), dtype);
}

}  // namespace

DiffusionLoss masked_loss(const Denoiser& denoiser, const TextBatch& x_0, const MaskedBatch& masked,
                          const SequenceWeights& weights, const ForwardContext& context) {
  const double per_token = 1.0 / static_cast<double>(x_0.sequences.rows);
  const Tensor row_weights = as_row_weights(per_row(x_0, masked, weights.weight), per_token, Dtype::float32);
  const CrossEntropy result = denoiser.cross_entropy(masked.x_t, x_0.sequences, as_time(weights.time),
                                                     masked.masked, masked.targets, row_weights, context);
  const std::vector<double> losses = result.losses.to_vector<double>();
  const std::vector<double> bound_weights = per_row(x_0, masked, weights.bound_weight);
  DiffusionLoss loss{result.total, 0, 0};
  for (size_t i = 0; i < losses.size(); ++i) {
    loss.bound += bound_weights[i] * losses[i] * per_token;
    loss.cross_entropy += losses[i] / static_cast<double>(losses.size());
  }
  return loss;
}

std::vector<double> sequence_losses(const Denoiser& denoiser, const TextBatch& x_0, const MaskedBatch& masked,
                                    const std::vector<double>& time) {
  const NoGradient scope;
  std::vector<double> result(static_cast<size_t>(x_0.sequences.count));
  if (masked.masked.elements() == 0) return result;
  const Tensor ones_per_row = ones({masked.masked.size(0)});
  const CrossEntropy losses = denoiser.cross_entropy(masked.x_t, x_0.sequences, as_time(time), masked.masked,
                                                     masked.targets, ones_per_row, ForwardContext{});
  const std::vector<double> values = losses.losses.to_vector<double>();
  const std::vector<int32_t> rows = masked.masked.to_vector<int32_t>();
  const int32_t* index = x_0.sequences.index.data<int32_t>();
  for (size_t i = 0; i < values.size(); ++i) result[index[rows[i]]] += values[i];
  return result;
}

}  // namespace haze
