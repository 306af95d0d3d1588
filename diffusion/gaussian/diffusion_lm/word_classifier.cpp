#include "haze/diffusion/gaussian/diffusion_lm/word_classifier.h"

#include "haze/diffusion/classifier_measures.h"

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
    : NoisyTextClassifier(kName, classes_of(facts), settings, facts, frozen, generator),
      head_(settings.integer("transformer.hidden"), classes(), generator) {
  add_module("head", head_);
}

Loss WordClassifier::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const NoisyEmbeddings& noisy = noisy_of(batch);
  const Tensor& labels = batch.labels_for(kName);
  const Variable logits = this->logits(noisy.x_t, noisy.sequences, noisy.time, context);
  const Variable log_p = gather(log_softmax(logits), 1, unsqueeze(labels, 1));
  return {.total = mean(log_p) * -1,
          .log = {{"accuracy", accuracy(logits.value(), labels)}},
          .inputs = {{"x_t", noisy.x_t}, {"time", noisy.time}, {"labels", labels}}};
}

Variable WordClassifier::logits(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                                const ForwardContext& context) const {
  return head_.forward(sequence_means(rows(x_t, sequences, time, context), sequences));
}

ModelInfo word_classifier_model() {
  return noisy_text_classifier_model<WordClassifier>(kName, "labelled");
}

}  // namespace haze
