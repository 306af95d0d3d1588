#pragma once

#include <memory>

#include "haze/nn/layers.h"

namespace haze {

/// Token ids to vectors, the first part of a network for text. Positions are the stack's (transformer.h).
class TokenInput : public Module {
 public:
  /// `token_types` is the number of types of tokens, such as BERT's two segments; with 0 there are none.
  /// Throws Error where vocabulary or width is not positive, or token_types is negative.
  TokenInput(int64_t vocabulary, int64_t width, Generator& generator, int64_t token_types = 0);

  /// ids int32 [rows] -> [rows, width]: the embedding of each id, plus that of its type, int32 [rows]. Throws
  /// Error where types are given and there are none, or the other way round.
  Variable forward(const Tensor& ids, const Tensor& types = {}) const;

  /// For heads that are tied to it.
  Embedding& token_embedding() { return token_embedding_; }
  const Embedding& token_embedding() const { return token_embedding_; }

 private:
  Embedding token_embedding_;
  std::unique_ptr<Embedding> type_embedding_;
};

/// How many layers map vectors in and out.
enum class VectorLayers {
  linear,
  linear_tanh_linear,  // Li et al. 2022
};

/// Vectors to the width of a network: the first part of one whose data are vectors.
class VectorInput : public Module {
 public:
  VectorInput(int64_t vector_width, int64_t width, Generator& generator,
              VectorLayers layers = VectorLayers::linear);

  /// x [rows, vector_width] -> [rows, width].
  Variable forward(const Variable& x) const;

 private:
  Linear first_;
  std::unique_ptr<Linear> second_;
};

}  // namespace haze
