#pragma once

#include "haze/diffusion/model.h"
#include "haze/nn/token_transformer.h"

namespace haze {

/// The model "spelling_tagger": p(tag_i | text) of every word of a clean text, independent given the text. A
/// word's vector is the embedding of the word plus the sum of the embeddings of its character n-grams
/// (Bojanowski et al. 2017, section 3.2), so that a word that training has never seen has a vector too. A
/// bidirectional transformer reads the vectors, and a linear layer answers. End tokens are read and have no
/// tag.
class SpellingTagger : public Model, public TokenClassifier {
 public:
  /// Throws Error where the data have no tags or no spelling.
  SpellingTagger(const Settings& settings, const DataFacts& facts, Generator& generator);

  int64_t units(const Batch& batch) const override;
  /// The cross-entropy of a word, in nats, a mean over the batch's words. In training each word is the
  /// unknown one with probability spelling_tagger.word_dropout (Iyyer et al. 2015, section 3); its n-grams
  /// stay.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  const TokenClassifier* token_classifier() const override { return this; }
  std::vector<int32_t> word_classes(const Batch& batch) const override;

  /// log p(tag | text) [words, classes - 1] of the tags from 1 on.
  Variable log_probabilities(const Batch& batch, const ForwardContext& context = {}) const;

 private:
  /// The rows of the batch's text that are words.
  std::vector<int32_t> word_rows(const Batch& batch) const;
  /// The words that the network reads, some of them unknown in training.
  Tensor words_read(const Tensor& ids, const ForwardContext& context) const;

  int64_t classes_;
  int32_t end_id_, unknown_id_;
  double word_dropout_;
  TokenInput input_;
  Embedding ngrams_;
  Transformer transformer_;
  Linear head_;
};

ModelInfo spelling_tagger_model();

}  // namespace haze
