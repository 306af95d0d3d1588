#include "haze/diffusion/gaussian/diffusion_lm/word_tagger.h"

#include <algorithm>

#include "haze/diffusion/classifier_measures.h"

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
    : NoisyTextClassifier(kName, classes_of(facts), settings, facts, frozen, generator),
      head_(settings.integer("transformer.hidden"), classes(), generator) {
  add_module("head", head_);
}

Loss WordTagger::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const NoisyEmbeddings& noisy = noisy_of(batch);
  const Tensor tags = padded_tags(batch, noisy.sequences);
  const Variable log_p = log_probabilities(noisy.x_t, noisy.sequences, noisy.time, context);
  const Variable of_tags = gather(log_p, 1, unsqueeze(tags, 1));
  return {.total = mean(sequence_means(of_tags, noisy.sequences)) * -1,
          .log = {{"accuracy", accuracy_of_marked(log_p.value(), tags)}},
          .inputs = {{"x_t", noisy.x_t}, {"time", noisy.time}, {"tags", tags}}};
}

Variable WordTagger::log_probabilities(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                                       const ForwardContext& context) const {
  return log_softmax(head_.forward(rows(x_t, sequences, time, context)));
}

ModelInfo word_tagger_model() {
  return noisy_text_classifier_model<WordTagger>(kName, "tagged");
}

}  // namespace haze
