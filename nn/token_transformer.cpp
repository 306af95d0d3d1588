#include "haze/nn/token_transformer.h"

namespace haze {

TokenTransformer::TokenTransformer(int64_t vocabulary, const TransformerConfig& config, Generator& generator,
                                   int64_t token_types)
    : input_(vocabulary, checked_config(config).hidden, generator, token_types), stack_(config, generator) {
  add_module("", input_);
  add_module("", stack_);
}

Variable TokenTransformer::forward(const Tensor& ids, const Sequences& sequences, const Tensor& t,
                                   const ForwardContext& context, const TransformerOptions& options,
                                   const Tensor& types) const {
  if (ids.rank() != 1 || ids.size(0) != sequences.rows) {
    fail("Transformer: ids have shape {}, the sequences {} rows", ids.shape().to_string(), sequences.rows);
  }
  return stack_.forward(input_.forward(ids, types), sequences, t, context, options);
}

}  // namespace haze
