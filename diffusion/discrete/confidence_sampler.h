#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/diffusion/discrete/schedule.h"

namespace haze {

/// Confidence-aware parallel decoding (Wu et al. 2025, Fast-dLLM, arXiv 2505.22618, section 3.3 and algorithm
/// 1). The confidence of a masked position is the probability of its most likely token. In each step every
/// position whose confidence exceeds `threshold` appears, and where none does, the position of the largest
/// confidence. A threshold of 1 shows one token a step, and 0 shows all tokens in one step.
///
/// Tokens that appear together are drawn independently. Theorem 1 of the paper: for n tokens that appear
/// together, each with a confidence above 1 - 1/(n + 1), the likeliest text is the same as one after the
/// other. Confidences are taken at temperature 1, without the forbidden tokens; options.filter acts on the
/// tokens that are drawn. All masked tokens are projected onto the vocabulary. The time of a text is the one
/// at which its share of masked tokens is expected. The steps that an observer is told are those taken and as
/// many as there may still be.
///
/// Throws Error where the threshold is outside [0, 1], or logits are no distribution.
///
/// The first is for networks of continuous time, the second for those of discrete time.
Samples confidence_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const MaskingSchedule& schedule, double threshold, const SamplerOptions& options,
                          Generator& generator);
Samples confidence_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const DiscreteNoise& noise, double threshold, const SamplerOptions& options,
                          Generator& generator);

}  // namespace haze
