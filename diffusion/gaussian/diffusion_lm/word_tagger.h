#pragma once

#include "haze/diffusion/gaussian/diffusion_lm/noisy_text_classifier.h"

namespace haze {

/// The model "word_tagger": p(tag_i | x_t) of every row, independent given x_t (Li et al. 2022, section 6.1,
/// parts of speech). It is a linear layer on the transformer's rows. The end token and padding have the class
/// 0.
class WordTagger : public NoisyTextClassifier {
 public:
  /// Throws Error where the data have no tags, and as NoisyTextClassifier's.
  WordTagger(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
             Generator& generator);

  /// The cross-entropy of a text's rows, their mean.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  /// log p(tag | x_t) [rows, classes] of x_t [rows, dimension] at times t / T, float32 [texts].
  Variable log_probabilities(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                             const ForwardContext& context = {}) const;

 private:
  Linear head_;
};

ModelInfo word_tagger_model();

}  // namespace haze
