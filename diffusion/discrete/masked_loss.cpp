#include "haze/diffusion/discrete/masked_loss.h"

#include <algorithm>

namespace haze {
namespace {

// scale * values[sequence of the row] for each masked row, float64 [n].
Tensor per_row(const TextBatch& x_0, const MaskedBatch& masked, const std::vector<double>& values,
               double scale) {
  const int32_t* index = x_0.sequences.index.data<int32_t>();
  const int32_t* rows = masked.masked.data<int32_t>();
  std::vector<double> result;
  for (int64_t i = 0; i < masked.masked.size(0); ++i) result.push_back(scale * values[index[rows[i]]]);
  return Tensor::from(result, {masked.masked.size(0)});
}

}  // namespace

Corruption::Corruption(const TextBatch& x_0, const MaskedBatch& masked, const SequenceWeights& weights)
    : input{masked.x_t, x_0.sequences,
            cast(Tensor::from(weights.time, {x_0.sequences.count}), Dtype::float32), masked.masked},
      targets(masked.targets),
      row_weights(cast(per_row(x_0, masked, weights.weight, 1.0 / static_cast<double>(x_0.sequences.rows)),
                       Dtype::float32)),
      bound_weights(per_row(x_0, masked, weights.bound_weight, 1)) {}

void check_texts(const TextBatch& x_0, const Denoiser& denoiser, std::string_view model) {
  const int32_t* ids = x_0.ids.data<int32_t>();
  for (int64_t row = 0; row < x_0.sequences.rows; ++row) {
    if (ids[row] == denoiser.mask_id()) fail("{}: a text holds the mask's id, {}", model, ids[row]);
    if (ids[row] < 0 || ids[row] >= denoiser.vocabulary()) {
      fail("{}: a text holds the id {}, which is outside the vocabulary of {}", model, ids[row],
           denoiser.vocabulary());
    }
  }
}

Loss masked_loss(const Denoiser& denoiser, const Corruption& corruption, const ForwardContext& context) {
  const DenoiserInput& input = corruption.input;
  const Tensor& targets = corruption.targets;
  const CrossEntropy result = denoiser.cross_entropy(input, targets, corruption.row_weights, context);
  const Tensor bound_weights =
      to(cast(corruption.bound_weights, result.losses.dtype()), result.losses.device());
  const double tokens = static_cast<double>(input.sequences.rows);
  const double masked = static_cast<double>(std::max<int64_t>(targets.size(0), 1));
  return {.total = result.total,
          .log = {{"bound", scale_shift(sum(multiply(bound_weights, result.losses)), 1 / tokens, 0)},
                  {"cross_entropy", scale_shift(sum(result.losses), 1 / masked, 0)}},
          .inputs = {{"x_t", input.x_t},
                     {"offsets", input.sequences.offsets},
                     {"time", input.t},
                     {"masked", input.rows},
                     {"targets", targets},
                     {"row_weights", corruption.row_weights}}};
}

std::vector<double> sequence_nats(const Denoiser& denoiser, const Corruption& corruption) {
  const NoGradient scope;
  const Sequences& sequences = corruption.input.sequences;
  std::vector<double> result(static_cast<size_t>(sequences.count));
  const int64_t masked = corruption.targets.size(0);
  if (masked == 0) return result;
  const std::vector<double> losses =
      denoiser.cross_entropy(corruption.input, corruption.targets, ones({masked}), ForwardContext{})
          .losses.to_vector<double>();
  const double* weights = corruption.bound_weights.data<double>();
  const int32_t* rows = corruption.input.rows.data<int32_t>();
  const int32_t* index = sequences.index.data<int32_t>();
  for (int64_t i = 0; i < masked; ++i) result[index[rows[i]]] += weights[i] * losses[i];
  return result;
}

}  // namespace haze
