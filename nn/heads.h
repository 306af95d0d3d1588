#pragma once

#include <memory>
#include <optional>

#include "haze/nn/inputs.h"

namespace haze {

struct TokenHeadOptions {
  bool bias = true;
  bool zero = false;  // weights start as zero (DiT), so that at first every token is equally likely
  /// A hidden layer before the projection, with this activation and a layer norm (BERT's masked-LM head).
  std::optional<Activation> transform;
  double norm_epsilon = 1e-12;  // of the hidden layer's norm
  /// A token that is never predicted: its logit is -infinity.
  std::optional<int32_t> impossible;
};

/// Hidden vectors to unnormalised log-probabilities of tokens: hidden weight^T + bias.
class TokenHead : public Module {
 public:
  /// With a weight of its own.
  TokenHead(int64_t hidden, int64_t vocabulary, Generator& generator, const TokenHeadOptions& options = {});
  /// With the first `vocabulary` rows of `tied` as its weight; `tied` must outlive the head. Throws Error
  /// where it has fewer rows, or where options.zero, which would change the embedding.
  TokenHead(Embedding& tied, int64_t vocabulary, Generator& generator, const TokenHeadOptions& options = {});

  int64_t vocabulary() const { return vocabulary_; }
  /// hidden [n, hidden] -> [n, vocabulary].
  Variable logits(const Variable& hidden) const;
  /// sum_i row_weights_i (-log p(targets_i)), and each of the losses in nats. It is fused with the
  /// projection: no logits are held. targets int32 [n], row_weights [n] of any real dtype. Rows whose target
  /// is `ignored` do not count.
  CrossEntropy cross_entropy(const Variable& hidden, const Tensor& targets, const Tensor& row_weights,
                             std::optional<int32_t> ignored = {}) const;
  /// Any loss of the rows of logits, which are never whole: see projected_loss(). row_weights [n] of any real
  /// dtype, or undefined for ones.
  ProjectedLoss loss(const Variable& hidden, const RowLoss& row_loss, const Tensor& row_weights = {}) const;

 private:
  void add_rest(int64_t hidden, Generator& generator, const TokenHeadOptions& options);
  Variable transformed(const Variable& hidden) const;
  Variable weight() const;
  Variable bias() const;

  int64_t vocabulary_;
  Variable own_weight_, bias_;
  Tensor impossible_;  // [vocabulary]: -infinity at the token that is never predicted; undefined: none is
  const Variable* weight_;  // own_weight_, or that of the embedding it is tied to
  Activation activation_ = Activation::none;
  std::unique_ptr<Linear> transform_;
  std::unique_ptr<LayerNorm> transform_norm_;
};

/// Hidden vectors to vectors of the data's width.
class VectorHead : public Module {
 public:
  /// With `zero`, the last layer starts as zero (DiT).
  VectorHead(int64_t hidden, int64_t vector_width, Generator& generator,
             VectorLayers layers = VectorLayers::linear, bool zero = false);

  /// x [n, hidden] -> [n, vector_width].
  Variable forward(const Variable& x) const;

 private:
  std::unique_ptr<Linear> first_;
  Linear last_;
};

}  // namespace haze
