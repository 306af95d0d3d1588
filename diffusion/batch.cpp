#include "haze/diffusion/batch.h"

#include <algorithm>

#include "haze/engine/ops.h"

namespace haze {
namespace {

template <typename Sequence>
TextBatch batch_of(std::span<const Sequence> sequences) {
  if (sequences.empty()) fail("TextBatch: no sequences");
  std::vector<int64_t> lengths;
  for (const Sequence& sequence : sequences) {
    if (sequence.empty()) fail("TextBatch: sequence {} is empty", lengths.size());
    lengths.push_back(static_cast<int64_t>(sequence.size()));
  }
  TextBatch batch;
  batch.sequences = Sequences::of_lengths(lengths);
  batch.ids = Tensor({batch.sequences.rows}, Dtype::int32);
  int32_t* out = batch.ids.data<int32_t>();
  for (const Sequence& sequence : sequences) out = std::copy(sequence.begin(), sequence.end(), out);
  return batch;
}

}  // namespace

TextBatch TextBatch::of(std::span<const std::span<const int32_t>> sequences) {
  return batch_of(sequences);
}
TextBatch TextBatch::of(std::span<const std::vector<int32_t>> sequences) {
  return batch_of(sequences);
}

std::span<const int32_t> TextBatch::tokens(int64_t i) const {
  const int32_t* offsets = sequences.offsets.data<int32_t>();
  return {ids.data<int32_t>() + offsets[i], static_cast<size_t>(offsets[i + 1] - offsets[i])};
}

Batch Batch::to(Device device) const {
  Batch result = *this;
  for (Tensor* tensor : {&result.values, &result.labels}) {
    if (tensor->defined()) *tensor = haze::to(*tensor, device);
  }
  return result;
}

int64_t Batch::size() const {
  if (target) return target->sequences.count;
  if (values.defined()) return values.size(0);
  return 0;
}

int64_t Batch::units() const {
  if (target) return target->sequences.rows;
  return values.defined() ? values.elements() : 0;
}

const TextBatch& Batch::target_for(std::string_view model) const {
  if (!target) fail("{}: the batch has no texts, from which this model learns", model);
  return *target;
}

const TextBatch& Batch::source_for(std::string_view model) const {
  if (!source) fail("{}: the batch has no source texts, which this model needs", model);
  return *source;
}

const Tensor& Batch::values_for(std::string_view model) const {
  if (!values.defined()) fail("{}: the batch has no tensor, from which this model learns", model);
  return values;
}

const Tensor& Batch::labels_for(std::string_view model) const {
  if (!labels.defined()) fail("{}: the batch has no labels, which this model needs", model);
  return labels;
}

const Tensor& Batch::tags_for(std::string_view model) const {
  if (!tags.defined()) fail("{}: the batch has no tags, which this model needs", model);
  return tags;
}

const Spelling& Batch::spelling_for(std::string_view model) const {
  if (!spelling) fail("{}: the batch has no spelling, which this model needs", model);
  return *spelling;
}

const std::vector<std::vector<LabelledSpan>>& Batch::spans_for(std::string_view model) const {
  if (std::ssize(spans) != size()) fail("{}: the batch has no trees, which this model needs", model);
  return spans;
}

}  // namespace haze
