#pragma once

#include "haze/diffusion/gaussian/diffusion_lm/noisy_text_classifier.h"

namespace haze {

/// The model "word_classifier": p(c | x_t) of a text's label c (Li et al. 2022, section 5.1). It is a linear
/// layer on the mean of the transformer's rows, trained by cross-entropy.
class WordClassifier : public NoisyTextClassifier {
 public:
  /// Throws Error where the data have no labels, and as NoisyTextClassifier's.
  WordClassifier(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
                 Generator& generator);

  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  /// log p(c | x_t) up to a constant a text, [texts, classes], of x_t [rows, dimension] at times t / T,
  /// float32 [texts].
  Variable logits(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                  const ForwardContext& context = {}) const;

 private:
  Linear head_;
};

ModelInfo word_classifier_model();

}  // namespace haze
