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
  /// EMB(w) of every word, real [words, dimension]: it tells one run from another.
  virtual Tensor word_vectors() const = 0;
};

/// A batch of texts, each at a noise level of its own.
struct NoisyEmbeddings : Prepared {
  Sequences sequences;  // with padding
  Tensor x_t;           // [rows, dimension]
  Tensor time;          // float32 [texts]: t / T
};

/// Shared by all classifiers of noisy texts (Li et al. 2022, section 5.1). A transformer reads the vectors
/// x_t of a frozen diffusion_lm. A derived class adds the head and the loss.
class NoisyTextClassifier : public Model {
 public:
  /// The batch's texts with the noise of x_{t-1}, which is what is controlled, at uniform t.
  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  int64_t units(const Batch& batch) const override { return batch.size(); }

  int64_t classes() const { return classes_; }
  int64_t dimension() const { return embedder_->dimension(); }
  const WordEmbedder& embedder() const { return *embedder_; }

 protected:
  /// `name` is the classifier's, for its settings and errors. Throws Error where the frozen run's model has
  /// no embeddings or another vocabulary.
  NoisyTextClassifier(std::string name, int64_t classes, const Settings& settings, const DataFacts& facts,
                      const FrozenModel& frozen, Generator& generator);

  /// The additions of prepare() to a batch. Throws Error where it has not.
  const NoisyEmbeddings& noisy_of(const Batch& batch) const;
  /// x_t [rows, dimension] at times t / T, float32 [texts] -> [rows, width].
  Variable rows(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                const ForwardContext& context) const;

 private:
  std::string name_;
  int64_t classes_;
  std::shared_ptr<Model> frozen_;
  const WordEmbedder* embedder_;
  VectorInput input_;
  Transformer transformer_;
};

/// The row of the table of models for a classifier of `task`, without what makes it.
ModelInfo noisy_text_classifier_info(const std::string& name, const std::string& task);

/// The same with what makes it.
template <typename Classifier>
ModelInfo noisy_text_classifier_model(const std::string& name, const std::string& task) {
  ModelInfo info = noisy_text_classifier_info(name, task);
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<Classifier>(settings, facts, frozen.at(0), generator);
  };
  return info;
}

}  // namespace haze
