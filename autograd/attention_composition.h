#pragma once

#include <array>
#include <vector>

#include "haze/autograd/ops.h"

/// The gradient of attention out of operations that can be differentiated again. It forms the probabilities
/// of all pairs, [batch, heads, queries, keys]. Not part of the library's interface.
namespace haze {

/// Options whose tensors must not change before they are read.
class SavedAttentionOptions {
 public:
  explicit SavedAttentionOptions(const AttentionOptions& options);
  const AttentionOptions& read() const;

 private:
  AttentionOptions options_;
  std::vector<Saved> tensors_;
};

/// uint8, broadcasts to [batch, heads, queries, keys]: 1 where the options but for pair_mask let a query see
/// a key.
Tensor visible_pairs(const Tensor& query, const Tensor& key, const AttentionOptions& options);

/// One gradient for each of query, key and value, from the gradient g of attention's output; undefined where
/// it is not needed. All shapes are attention's.
Gradients attention_composition(const Variable& g, const Variable& query, const Variable& key,
                                const Variable& value, const AttentionOptions& options,
                                const std::array<bool, 3>& needed);

}  // namespace haze
