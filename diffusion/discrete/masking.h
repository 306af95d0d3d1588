#pragma once

#include <span>
#include <vector>

#include "haze/diffusion/batch.h"
#include "haze/engine/generator.h"

namespace haze {

/// A batch x_0 with some tokens replaced by the mask: x_t, and what was there.
struct MaskedBatch {
  Tensor x_t;                          // int32 [rows]
  Tensor masked;                       // int32 [n]: the rows that are masked, rising
  Tensor targets;                      // int32 [n]: x_0 at these rows
  std::vector<int64_t> masked_counts;  // [sequences]: masked tokens of each
};

/// Masks each token of sequence i by itself with probability mask_probability[i]: a draw from q(x_t | x_0).
MaskedBatch mask_tokens(const TextBatch& x_0, std::span<const double> mask_probability, int32_t mask_id,
                        Generator& generator);

/// Masks exactly counts[i] tokens of sequence i, every choice of them equally likely.
MaskedBatch mask_exactly(const TextBatch& x_0, std::span<const int64_t> counts, int32_t mask_id,
                         Generator& generator);

}  // namespace haze
