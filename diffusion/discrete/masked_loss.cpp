#include "haze/diffusion/discrete/masked_loss.h"

#include <algorithm>
#include <array>

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

// Every tensor of a corruption, which may be const.
template <typename C>
auto tensors_of(C& corruption) {
  auto& in = corruption.input;
  auto& sequences = in.sequences;
  return std::array{&in.x_t,
                    &sequences.offsets,
                    &sequences.positions,
                    &sequences.index,
                    &in.t,
                    &in.rows,
                    &corruption.targets,
                    &corruption.row_weights,
                    &corruption.bound_weights,
                    &corruption.per_token,
                    &corruption.per_masked};
}

int64_t rounded_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// x [n] with `value` behind it up to `count` elements.
Tensor extended(const Tensor& x, int64_t count, double value) {
  const std::array<Tensor, 2> parts{x, full({count - x.size(0)}, value, x.dtype())};
  return concat(parts, 0);
}

}  // namespace

Corruption::Corruption(const TextBatch& x_0, const MaskedBatch& masked, const SequenceWeights& weights)
    : input{masked.x_t, x_0.sequences,
            cast(Tensor::from(weights.time, {x_0.sequences.count}), Dtype::float32), masked.masked},
      targets(masked.targets),
      row_weights(cast(per_row(x_0, masked, weights.weight, 1.0 / static_cast<double>(x_0.sequences.rows)),
                       Dtype::float32)),
      bound_weights(per_row(x_0, masked, weights.bound_weight, 1)),
      per_token(full({}, 1.0 / static_cast<double>(x_0.sequences.rows), Dtype::float64)),
      per_masked(full({}, 1.0 / static_cast<double>(std::max<int64_t>(masked.targets.size(0), 1)),
                      Dtype::float64)) {}

std::vector<Tensor> Corruption::tensors() const {
  std::vector<Tensor> result;
  for (const Tensor* tensor : tensors_of(*this)) result.push_back(*tensor);
  return result;
}

std::shared_ptr<const Prepared> Corruption::to(Device device) const {
  auto result = std::make_shared<Corruption>(*this);
  for (Tensor* tensor : tensors_of(*result)) *tensor = clone(haze::to(*tensor, device));
  return result;
}

Corruption Corruption::padded(int64_t multiple, int64_t max_length, int32_t mask_id) const {
  const int64_t rows = rounded_up(input.sequences.rows, multiple),
                masked = rounded_up(targets.size(0), multiple);
  std::vector<int64_t> lengths = input.sequences.lengths;
  int64_t left = rows - input.sequences.rows;
  for (int64_t i = 0; i < rounded_up(multiple - 1, max_length) / max_length; ++i) {
    lengths.push_back(std::min(left, max_length));
    left -= lengths.back();
  }
  Corruption result = *this;
  result.input.sequences = Sequences::of_lengths(lengths);
  result.input.x_t = extended(input.x_t, rows, mask_id);
  result.input.t = extended(input.t, std::ssize(lengths), 0.5);
  result.input.rows = extended(input.rows, masked, 0);
  result.targets = extended(targets, masked, kNoTarget);
  result.row_weights = extended(row_weights, masked, 0);
  result.bound_weights = extended(bound_weights, masked, 0);
  return result;
}

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
  const auto times = [](const Tensor& x, const Tensor& number) {
    return multiply(x, to(cast(number, x.dtype()), x.device()));
  };
  return {.total = result.total,
          .log = {{"bound", times(sum(multiply(bound_weights, result.losses)), corruption.per_token)},
                  {"cross_entropy", times(sum(result.losses), corruption.per_masked)}},
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
