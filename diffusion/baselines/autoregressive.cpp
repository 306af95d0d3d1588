#include "haze/diffusion/baselines/autoregressive.h"

namespace haze {

ShiftedTexts shifted(const TextBatch& target, const TextBatch* source, int32_t end_id) {
  const int64_t count = target.sequences.count;
  if (source && source->sequences.count != count)
    fail("autoregressive: {} source texts for {} targets", source->sequences.count, count);
  ShiftedTexts result;
  std::vector<int64_t> lengths;
  std::vector<int32_t> ids, rows;
  for (int64_t i = 0; i < count; ++i) {
    const size_t first = ids.size();
    if (source) {
      const std::span<const int32_t> tokens = source->tokens(i);
      ids.insert(ids.end(), tokens.begin(), tokens.end());
    }
    ids.push_back(end_id);
    const std::span<const int32_t> text = target.tokens(i);
    for (size_t place = 0; place < text.size(); ++place)
      rows.push_back(static_cast<int32_t>(ids.size() - 1 + place));
    ids.insert(ids.end(), text.begin(), text.end() - 1);
    lengths.push_back(static_cast<int64_t>(ids.size() - first));
  }
  result.sequences = Sequences::of_lengths(lengths);
  result.ids = Tensor::from(ids, {std::ssize(ids)});
  result.rows = Tensor::from(rows, {std::ssize(rows)});
  result.targets = target.ids;
  return result;
}

Autoregressive::Autoregressive(const TransformerConfig& config, AutoregressiveOptions options,
                               const DataFacts& facts, Generator& generator)
    : options_(std::move(options)),
      facts_(facts),
      network_(facts.vocabulary, config, options_.tied_embeddings, generator) {
  if (options_.ignores_source && facts.max_source_length == 0)
    fail("autoregressive.ignore_source: the texts have no sources; data.task pairs gives them some");
  add_module("", network_);
}

ShiftedTexts Autoregressive::shifted_of(const Batch& batch) const {
  return shifted(batch.target_for("autoregressive"),
                 reads_sources() ? &batch.source_for("autoregressive") : nullptr, facts_.end_id);
}

Batch Autoregressive::prepare(Batch batch, size_t, Generator&) const {
  batch.prepared = std::make_shared<ShiftedTexts>(shifted_of(batch));
  return batch;
}

Loss Autoregressive::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const auto* texts = dynamic_cast<const ShiftedTexts*>(batch.prepared.get());
  if (!texts) fail("autoregressive: the batch has not been prepared");
  const int64_t tokens = texts->targets.size(0);
  const Tensor row_weights = full({tokens}, 1.0 / static_cast<double>(tokens));
  const CrossEntropy result =
      network_.cross_entropy(texts->ids, texts->sequences, texts->rows, texts->targets, row_weights, context);
  return {.total = result.total,
          .log = {{"cross_entropy", result.total.value()}},
          .inputs = {{"ids", texts->ids},
                     {"offsets", texts->sequences.offsets},
                     {"targets", texts->targets},
                     {"rows", texts->rows},
                     {"row_weights", row_weights}}};
}

std::vector<double> Autoregressive::draw_nats(const Batch& batch, Generator&) const {
  const NoGradient scope;
  const ShiftedTexts texts = shifted_of(batch);
  const std::vector<double> losses = network_
                                         .cross_entropy(texts.ids, texts.sequences, texts.rows, texts.targets,
                                                        ones(texts.targets.shape()), ForwardContext{})
                                         .losses.to_vector<double>();
  const Sequences& sequences = batch.target->sequences;
  const int32_t* text_of = sequences.index.data<int32_t>();
  std::vector<double> nats(static_cast<size_t>(sequences.count));
  for (size_t token = 0; token < losses.size(); ++token)
    nats[static_cast<size_t>(text_of[token])] += losses[token];
  return nats;
}

}  // namespace haze
