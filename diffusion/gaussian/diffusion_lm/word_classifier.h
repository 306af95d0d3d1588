#pragma once

#include <memory>

#include "haze/diffusion/gaussian/diffusion_lm/word_bound.h"
#include "haze/diffusion/model.h"
#include "haze/nn/inputs.h"
#include "haze/nn/transformer.h"

namespace haze {

/// A model of texts whose words are vectors, for classifiers that read them.
class WordEmbedder {
 public:
  virtual ~WordEmbedder() = default;
  virtual const WordProcess& process() const = 0;
  virtual int64_t dimension() const = 0;
  /// A batch's texts as the model sees them, with padding. Throws Error where it is not of this model's
  /// texts.
  virtual EmbeddedTexts embedded(const Batch& batch) const = 0;
};

/// The model "word_classifier": p(c | x_t) of a text's label c (Li et al. 2022, section 5.1). It is trained
/// by cross-entropy on x_t of a frozen run, at uniform t. A transformer, the mean of its rows, and a linear
/// layer.
class WordClassifier : public Model {
 public:
  /// Throws Error where the data have no labels, and where the frozen run's model has no embeddings or
  /// another vocabulary.
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
  int64_t dimension() const { return dimension_; }

 private:
  std::shared_ptr<Model> frozen_;
  const WordEmbedder* embedder_;
  int64_t classes_, dimension_;
  VectorInput input_;
  Transformer transformer_;
  Linear head_;
};

ModelInfo word_classifier_model();

}  // namespace haze
