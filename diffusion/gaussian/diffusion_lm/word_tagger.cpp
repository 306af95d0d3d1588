#include "haze/diffusion/gaussian/diffusion_lm/word_tagger.h"

#include <algorithm>

namespace haze {
namespace {

constexpr const char* kName = "word_tagger";

int64_t classes_of(const DataFacts& facts) {
  if (facts.tags < 2) fail("{}: the data have no tags, of which it could learn", kName);
  return facts.tags;
}

// The tags of a batch's tokens, and 0 for rows of padding.
Tensor padded_tags(const Batch& batch, const Sequences& padded) {
  const std::vector<int32_t> tags = batch.tags_for(kName).to_vector<int32_t>();
  std::vector<int32_t> result(static_cast<size_t>(padded.rows));
  auto from = tags.begin();
  auto to = result.begin();
  for (size_t i = 0; i < padded.lengths.size(); ++i) {
    const int64_t tokens = batch.target->sequences.lengths[i];
    std::copy(from, from + tokens, to);
    from += tokens;
    to += padded.lengths[i];
  }
  return Tensor::from(result, {padded.rows}, padded.index.device());
}

}  // namespace

WordTagger::WordTagger(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
                       Generator& generator)
    : classes_(classes_of(facts)),
      reader_(kName, settings, facts, frozen, generator),
      head_(settings.integer("transformer.hidden"), classes_, generator) {
  add_module("", reader_);
  add_module("head", head_);
}

Batch WordTagger::prepare(Batch batch, size_t, Generator& generator) const {
  batch.tags_for(kName);
  batch.prepared = reader_.noisy(batch, generator);
  return batch;
}

Loss WordTagger::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const NoisyEmbeddings& noisy = noisy_of(batch, kName);
  const Sequences& sequences = noisy.sequences;
  const Tensor tags = padded_tags(batch, sequences);
  const Variable log_p = log_probabilities(noisy.x_t, sequences, noisy.time, context);
  std::vector<double> shares;
  for (const int64_t length : sequences.lengths)
    shares.push_back(-1.0 / static_cast<double>(length * sequences.count));
  const Variable of_tags = gather(log_p, 1, unsqueeze(tags, 1));
  return {.total = sum(of_tags * Variable(for_rows(sequences, shares, of_tags.dtype()))),
          .log = {{"accuracy", share_found(log_p.value(), tags)}},
          .inputs = {{"x_t", noisy.x_t}, {"time", noisy.time}, {"tags", tags}}};
}

Variable WordTagger::log_probabilities(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                                       const ForwardContext& context) const {
  return log_softmax(head_.forward(reader_.rows(x_t, sequences, time, context)));
}

ModelInfo word_tagger_model() {
  ModelInfo info = noisy_reader_info(kName, "tagged");
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<WordTagger>(settings, facts, frozen.at(0), generator);
  };
  return info;
}

}  // namespace haze
