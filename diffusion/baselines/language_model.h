#pragma once

#include <memory>

#include "haze/nn/heads.h"
#include "haze/nn/token_transformer.h"

namespace haze {

/// The same network with rows that see themselves and the rows before them.
TransformerConfig causal(TransformerConfig config);

/// `count` sequences of `length` rows each.
Sequences equal_sequences(int64_t count, int64_t length, Device device);

/// Texts that a language model reads as they grow. All of them have grown by the same number of tokens.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Goes on by `tokens`, int32 [texts, count]; the first call decides how many texts there are. Returns the
  /// unnormalised log-probabilities [texts, vocabulary] of the token that follows.
  virtual Tensor read(const Tensor& tokens) = 0;
  /// Text i becomes the former text entries[i], int32 [new texts].
  virtual void select(const Tensor& entries) = 0;
};

/// p(next token | the tokens before it).
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual int64_t vocabulary() const = 0;
  /// A decoder that has read nothing. The model must outlive it.
  virtual std::unique_ptr<Decoder> decoder() const = 0;
};

/// A transformer whose rows see themselves and the rows before them, and a linear head (Radford et al. 2019).
class CausalTransformer : public Module, public LanguageModel {
 public:
  /// config.causal is set here. With `tied`, the head's weight is the token embedding's.
  CausalTransformer(int64_t vocabulary, TransformerConfig config, bool tied, Generator& generator);

  int64_t vocabulary() const override { return head_->vocabulary(); }
  /// Keeps the keys and values of what it has read: each call computes the new rows alone.
  std::unique_ptr<Decoder> decoder() const override;

  /// sum_i row_weights_i (-log p(targets_i)), and each of the losses in nats. Row rows[i] of `ids` is the
  /// token before target i. rows and targets int32 [n], row_weights [n].
  CrossEntropy cross_entropy(const Tensor& ids, const Sequences& sequences, const Tensor& rows,
                             const Tensor& targets, const Tensor& row_weights,
                             const ForwardContext& context) const;
  /// Unnormalised log-probabilities [n, vocabulary] of the tokens after `rows` int32 [n] of ids.
  Variable logits(const Tensor& ids, const Sequences& sequences, const Tensor& rows,
                  const ForwardContext& context) const;
  /// The same of hidden vectors [n, hidden].
  Variable logits(const Variable& hidden) const { return head_->logits(hidden); }

  /// Hidden vectors [texts * count, hidden] of tokens int32 [texts, count], which join those of the cache.
  /// Needs NoGradient.
  Variable hidden_after(const Tensor& tokens, TransformerCache& cache) const;
  /// Hidden vectors [texts, hidden] of a row x [texts, hidden] that comes after a past, of at least one row.
  /// Gradients flow to x and to the past.
  Variable hidden_after(const Variable& x, const std::vector<PastRows>& past) const;
  /// Hidden vectors [rows, hidden] of all rows of ids.
  Variable hidden_of(const Tensor& ids, const Sequences& sequences) const;
  /// The vectors that tokens are read as, [vocabulary, hidden].
  const Variable& token_vectors() const { return transformer_.token_embedding().weight(); }
  int64_t hidden_width() const { return transformer_.config().hidden; }

 private:
  friend class CachedDecoder;

  // At `rows` of ids, all where undefined, on the network's device.
  Variable hidden(const Tensor& ids, const Sequences& sequences, const Tensor& rows,
                  const ForwardContext& context) const;

  TokenTransformer transformer_;
  std::unique_ptr<TokenHead> head_;
};

}  // namespace haze
