#pragma once

#include "haze/diffusion/gaussian/diffusion_lm/noisy_reader.h"

namespace haze {

/// The model "word_tagger": p(tag_i | x_t) of every row, independent given x_t (Li et al. 2022, section 6.1,
/// parts of speech): a linear layer on the reader's rows. The end token and padding have the class 0.
class WordTagger : public Model {
 public:
  /// Throws Error where the data have no tags, and as NoisyReader's.
  WordTagger(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
             Generator& generator);

  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  int64_t units(const Batch& batch) const override { return batch.size(); }
  /// The cross-entropy of a text's rows, their mean.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  /// log p(tag | x_t) [rows, classes] of x_t [rows, dimension] at times t / T, float32 [texts].
  Variable log_probabilities(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                             const ForwardContext& context = {}) const;

  int64_t classes() const { return classes_; }
  int64_t dimension() const { return reader_.dimension(); }
  const WordEmbedder& embedder() const { return reader_.embedder(); }

 private:
  int64_t classes_;
  NoisyReader reader_;
  Linear head_;
};

ModelInfo word_tagger_model();

}  // namespace haze
