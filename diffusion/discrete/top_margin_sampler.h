#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/diffusion/discrete/schedule.h"

namespace haze {

/// Of the masked tokens of a text, the one whose position is decided most clearly appears next: the position
/// where the most likely token leads the second by the largest probability (Kim et al. 2025, arXiv
/// 2502.06768, section 4, "top-K probability margin" with one token a step). One call of the network a token,
/// as for first-hitting sampling, but not its distribution: positions that depend on one another wait for one
/// another, so texts contradict themselves less often. All masked tokens are projected onto the vocabulary.
/// The time of a text is the one at which its share of masked tokens is to be expected. options.filter acts
/// on the token that is drawn; margins are taken at temperature 1, without the forbidden tokens. Throws Error
/// where logits are no distribution.
Samples top_margin_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const MaskingSchedule& schedule, const SamplerOptions& options,
                          Generator& generator);

}  // namespace haze
