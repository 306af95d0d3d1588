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

/// The first part of every classifier of noisy texts (Li et al. 2022, section 5.1). A transformer reads the
/// vectors x_t of a frozen diffusion_lm; a head makes a classifier of it.
class NoisyReader : public Module {
 public:
  /// `name` is the classifier's, for its settings and errors. Throws Error where the frozen run's model has
  /// no embeddings or another vocabulary.
  NoisyReader(const std::string& name, const Settings& settings, const DataFacts& facts,
              const FrozenModel& frozen, Generator& generator);

  /// The batch's texts with the noise of x_{t-1}, which is what is controlled, at uniform t.
  std::shared_ptr<const NoisyEmbeddings> noisy(const Batch& batch, Generator& generator) const;
  /// x_t [rows, dimension] at times t / T, float32 [texts] -> [rows, width].
  Variable rows(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                const ForwardContext& context) const;

  const WordEmbedder& embedder() const { return *embedder_; }
  int64_t dimension() const { return embedder_->dimension(); }

 private:
  std::shared_ptr<Model> frozen_;
  const WordEmbedder* embedder_;
  VectorInput input_;
  Transformer transformer_;
};

/// The batch that noisy() prepared. Throws Error, naming the classifier, where none did.
const NoisyEmbeddings& noisy_of(const Batch& batch, const std::string& name);

/// The share of rows of `logits` [n, classes] that are greatest at the class `targets` int32 [n], a scalar.
Tensor accuracy(const Tensor& logits, const Tensor& targets);

/// The same of the rows whose target is not 0, which is that of padding and of spans that are no constituent;
/// 0 where there is no such row.
Tensor share_found(const Tensor& logits, const Tensor& targets);

/// A row of the table of models for a classifier that reads the setting NAME.run; `make` is left open.
ModelInfo noisy_reader_info(const std::string& name, const std::string& task);

}  // namespace haze
