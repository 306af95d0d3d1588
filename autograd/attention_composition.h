#pragma once

#include <array>

#include "haze/autograd/ops.h"

/// The gradient of attention out of operations that can be differentiated again. It forms the probabilities
/// of all pairs, [batch, heads, queries, keys]. Not part of the library's interface.
namespace haze {

/// Options whose tensors must not change before they are read.
class SavedAttentionOptions {
 public:
  explicit SavedAttentionOptions(const AttentionOptions& options)
      : options_(options),
        key_lengths_("key_lengths", options.key_lengths),
        block_mask_("block_mask", options.block_mask),
        sequence_offsets_("sequence_offsets", options.sequence_offsets) {}
  const AttentionOptions& read() const;

 private:
  AttentionOptions options_;
  Saved key_lengths_, block_mask_, sequence_offsets_;
};

/// uint8, broadcasts to [batch, heads, queries, keys]: 1 where the options let a query see a key.
Tensor visible_pairs(const Tensor& query, const Tensor& key, const AttentionOptions& options);

/// One gradient for each of query, key and value, from the gradient g of attention's output; undefined where
/// it is not needed. All shapes are attention's.
Gradients attention_composition(const Variable& g, const Variable& query, const Variable& key,
                                const Variable& value, const AttentionOptions& options,
                                const std::array<bool, 3>& needed);

}  // namespace haze
