#include "haze/diffusion/gaussian/diffusion_lm/word_classifier.h"

namespace haze {
namespace {

constexpr const char* kName = "word_classifier";

int64_t classes_of(const DataFacts& facts) {
  if (facts.labels < 2) fail("{}: the data have no labels, of which it could learn", kName);
  return facts.labels;
}

}  // namespace

WordClassifier::WordClassifier(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
                               Generator& generator)
    : classes_(classes_of(facts)),
      reader_(kName, settings, facts, frozen, generator),
      head_(settings.integer("transformer.hidden"), classes_, generator) {
  add_module("", reader_);
  add_module("head", head_);
}

Batch WordClassifier::prepare(Batch batch, size_t, Generator& generator) const {
  batch.labels_for(kName);
  batch.prepared = reader_.noisy(batch, generator);
  return batch;
}

Loss WordClassifier::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const NoisyEmbeddings& noisy = noisy_of(batch, kName);
  const Tensor& labels = batch.labels_for(kName);
  const Variable logits = this->logits(noisy.x_t, noisy.sequences, noisy.time, context);
  const Variable log_p = gather(log_softmax(logits), 1, unsqueeze(labels, 1));
  return {.total = mean(log_p) * -1,
          .log = {{"accuracy", accuracy(logits.value(), labels)}},
          .inputs = {{"x_t", noisy.x_t}, {"time", noisy.time}, {"labels", labels}}};
}

Variable WordClassifier::logits(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                                const ForwardContext& context) const {
  const Variable rows = reader_.rows(x_t, sequences, time, context);
  std::vector<double> shares;
  for (const int64_t length : sequences.lengths) shares.push_back(1.0 / static_cast<double>(length));
  const Variable weighted = rows * Variable(for_rows(sequences, shares, rows.dtype()));
  return head_.forward(index_scatter(weighted, 0, sequences.index, {sequences.count, rows.size(1)}));
}

ModelInfo word_classifier_model() {
  ModelInfo info = noisy_reader_info(kName, "labelled");
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<WordClassifier>(settings, facts, frozen.at(0), generator);
  };
  return info;
}

}  // namespace haze
