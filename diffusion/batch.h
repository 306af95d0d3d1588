#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "haze/nn/sequences.h"

namespace haze {

/// Token ids of several sequences laid end to end.
struct TextBatch {
  Tensor ids;  // int32 [rows]
  Sequences sequences;

  /// Throws Error where there is no sequence, or an empty one.
  static TextBatch of(std::span<const std::span<const int32_t>> sequences);
  static TextBatch of(std::span<const std::vector<int32_t>> sequences);
  /// The tokens of sequence i.
  std::span<const int32_t> tokens(int64_t i) const;
};

/// The part of a batch that Model::prepare() adds: corruption, alignments. Each model has its own.
struct Prepared {
  virtual ~Prepared() = default;
  /// Every tensor of it, in a fixed order, where the loss reads these and nothing else of the batch. Then a
  /// step over batches of equal shapes can be captured once as a graph. None where the loss reads more.
  virtual std::vector<Tensor> tensors() const { return {}; }
  /// The same with copies of these tensors on `device`; null where there are none.
  virtual std::shared_ptr<const Prepared> to(Device) const { return nullptr; }
};

/// The tokens [begin, end) of a text as one phrase. `label`, above 0, is its class.
struct LabelledSpan {
  int64_t begin = 0, end = 0;
  int32_t label = 0;
};

/// How the words of a text are spelt: buckets of their character n-grams, laid end to end, word after word.
struct Spelling {
  Tensor ngrams;  // int32 [n], below DataFacts::spelling_buckets
  Tensor tokens;  // int32 [n]: the row of the text whose word each is of; an end token has none
};

/// The data that a model may learn from. A task fills in the parts that its data have; a model uses those it
/// needs.
struct Batch {
  std::optional<TextBatch> target;   // texts
  std::optional<TextBatch> source;   // of pairs: what each target answers to
  Tensor values;                     // real [examples, ...]: points, images
  Tensor labels;                     // int32 [examples]
  std::optional<Spelling> spelling;  // of target
  Tensor tags;                       // int32 [tokens of target]: the class of each; 0 of an end token
  std::vector<std::vector<LabelledSpan>> spans;  // phrases of each target text; no two are the same tokens
  std::shared_ptr<const Prepared> prepared;

  /// With `values` and `labels` on `device`. Texts and what belongs to their tokens stay on the host, which
  /// corrupts them; a network takes what it reads of them to its own device.
  Batch to(Device device) const;

  /// Examples.
  int64_t size() const;
  /// The count that a mean loss is the mean over: the tokens of target texts, otherwise the numbers of
  /// `values`.
  int64_t units() const;

  /// The part that a model needs; throws Error, in a sentence that names the model, where the batch lacks it.
  const TextBatch& target_for(std::string_view model) const;
  const TextBatch& source_for(std::string_view model) const;
  const Tensor& values_for(std::string_view model) const;
  const Tensor& labels_for(std::string_view model) const;
  const Tensor& tags_for(std::string_view model) const;
  const Spelling& spelling_for(std::string_view model) const;
  const std::vector<std::vector<LabelledSpan>>& spans_for(std::string_view model) const;
};

}  // namespace haze
