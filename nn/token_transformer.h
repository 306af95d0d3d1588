#pragma once

#include "haze/nn/inputs.h"
#include "haze/nn/transformer.h"

namespace haze {

/// TokenInput and Transformer: token ids to hidden vectors. Parameters are named as if the two were one:
/// token_embedding.weight, blocks.0.attention.qkv.weight.
class TokenTransformer : public Module {
 public:
  /// Takes ids below `vocabulary`, and a type for each token where `token_types` > 0. Throws Error where
  /// either part does.
  TokenTransformer(int64_t vocabulary, const TransformerConfig& config, Generator& generator,
                   int64_t token_types = 0);

  /// ids int32 [rows] -> [n, hidden] at the rows options.wanted; `types` int32 [rows] belong to token_types.
  /// Everything else is as in Transformer::forward.
  Variable forward(const Tensor& ids, const Sequences& sequences, const Tensor& t,
                   const ForwardContext& context, const TransformerOptions& options = {},
                   const Tensor& types = {}) const;

  /// The same for vectors x [rows, hidden] in place of the tokens' embeddings.
  Variable forward_vectors(const Variable& x, const Sequences& sequences, const Tensor& t,
                           const ForwardContext& context, const TransformerOptions& options = {}) const {
    return stack_.forward(x, sequences, t, context, options);
  }

  const TransformerConfig& config() const { return stack_.config(); }
  /// For heads that are tied to it.
  Embedding& token_embedding() { return input_.token_embedding(); }
  const Embedding& token_embedding() const { return input_.token_embedding(); }

 private:
  TokenInput input_;
  Transformer stack_;
};

}  // namespace haze
