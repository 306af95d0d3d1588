#pragma once

#include "haze/diffusion/gaussian/diffusion_lm/noisy_reader.h"

namespace haze {

/// The model "word_classifier": p(c | x_t) of a text's label c (Li et al. 2022, section 5.1). It is a linear
/// layer on the mean of the reader's rows, trained by cross-entropy.
class WordClassifier : public Model {
 public:
  /// Throws Error where the data have no labels, and as NoisyReader's.
  WordClassifier(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
                 Generator& generator);

  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  int64_t units(const Batch& batch) const override { return batch.size(); }
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  /// log p(c | x_t) up to a constant a text, [texts, classes], of x_t [rows, dimension] at times t / T,
  /// float32 [texts].
  Variable logits(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                  const ForwardContext& context = {}) const;

  int64_t classes() const { return classes_; }
  int64_t dimension() const { return reader_.dimension(); }
  const WordEmbedder& embedder() const { return reader_.embedder(); }

 private:
  int64_t classes_;
  NoisyReader reader_;
  Linear head_;
};

ModelInfo word_classifier_model();

}  // namespace haze
