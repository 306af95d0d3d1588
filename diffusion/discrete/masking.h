#pragma once

#include <span>
#include <vector>

#include "haze/diffusion/batch.h"
#include "haze/engine/generator.h"

namespace haze {

/// A batch x_0 with some tokens replaced by the mask: x_t, and what was there.
struct MaskedBatch {
  Tensor x_t;      // int32 [rows]
  Tensor masked;   // int32 [n]: the rows that are masked, rising
  Tensor targets;  // int32 [n]: x_0 at these rows
};

/// Masks each token of sequence i by itself with probability mask_probability[i]: a draw from q(x_t | x_0).
MaskedBatch mask_tokens(const TextBatch& x_0, std::span<const double> mask_probability, int32_t mask_id,
                        Generator& generator);

/// Masks exactly counts[i] tokens of sequence i, every choice of them equally likely. Throws Error where
/// sequence i has fewer.
MaskedBatch mask_exactly(const TextBatch& x_0, std::span<const int64_t> counts, int32_t mask_id,
                         Generator& generator);

/// A masked batch, and for each sequence a mask probability at which it could have been drawn.
struct MaskedAtProbability {
  MaskedBatch batch;
  std::vector<double> mask_probability;  // [sequences]
};

/// The same, with a mask probability for each sequence: Beta(k, n - k + 1) for k of n tokens, and independent
/// of which k they are. That is how p is distributed where mask_tokens() has masked k tokens at a p drawn
/// from the density 1/p. Throws Error where a count is not in 1..n.
MaskedAtProbability mask_exactly_at_probability(const TextBatch& x_0, std::span<const int64_t> counts,
                                                int32_t mask_id, Generator& generator);

}  // namespace haze
