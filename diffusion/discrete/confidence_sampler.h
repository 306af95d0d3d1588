#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/diffusion/discrete/schedule.h"

namespace haze {

/// Confidence-aware parallel decoding (Wu et al. 2025, Fast-dLLM, arXiv 2505.22618, section 3.3), by the
/// threshold strategy of its algorithm 1, with the whole text as one block and without a key-value cache. The
/// confidence of a masked position is the probability of its most likely token. In each step every position
/// whose confidence exceeds `threshold` appears, and always that of the largest confidence. A threshold of 1
/// shows one token a step, and 0 shows all tokens in one step.
///
/// The paper shows the most likely token: that is options.filter with temperature 0. At other temperatures
/// the token is drawn from the filtered distribution, independently of those that appear with it, and may be
/// an unlikely one. The released program of the paper differs there: it takes the probability of the token
/// drawn.
///
/// Confidences are taken at temperature 1, without the forbidden tokens. All masked tokens are projected onto
/// the vocabulary. The time of a text is the one at which its share of masked tokens is expected. The steps
/// that an observer is told are those taken and as many as there may still be.
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
