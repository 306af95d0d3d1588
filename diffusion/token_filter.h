#pragma once

#include <cstdint>
#include <vector>

#include "haze/engine/ops.h"

namespace haze {

/// Changes of the distribution over the vocabulary before a token is drawn: `forbidden`, then the others in
/// this order.
struct TokenFilter {
  double temperature = 1;  // > 0: logits are divided by it; 0: the most likely token
  int64_t top_k = 0;       // the k most likely tokens; 0: all
  double top_p = 1;  // the fewest most likely tokens whose probabilities reach p, the crossing one included
  std::vector<int32_t> forbidden;  // tokens that are never drawn
};

/// Throws Error where the filter has a value outside its range, or forbids a token that there is not.
void check_filter(const TokenFilter& filter, int64_t vocabulary);

/// logits [rows, vocabulary], up to a constant a row, with -infinity for tokens that are filtered out, ready
/// for categorical(). Throws Error where check_filter() does.
Tensor filtered_logits(const Tensor& logits, const TokenFilter& filter);

}  // namespace haze
