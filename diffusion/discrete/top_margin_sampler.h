#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/diffusion/discrete/schedule.h"

namespace haze {

/// Top-margin sampling (Kim et al. 2025, arXiv 2502.06768, section 4, "top-K probability margin" with one
/// token a step). The margin of a position is the lead, in probability, of its most likely token over the
/// second. Of a text's masked positions, the one with the largest margin appears next. It takes one call of
/// the network a token, as first-hitting sampling does, but has another distribution. Positions that depend
/// on one another wait for one another, so texts contradict themselves less often. All masked tokens are
/// projected onto the vocabulary. The time of a text is the one at which its share of masked tokens is
/// expected. options.filter acts on the token that is drawn. Margins are taken at temperature 1, without the
/// forbidden tokens. Throws Error where logits are no distribution.
Samples top_margin_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const MaskingSchedule& schedule, const SamplerOptions& options,
                          Generator& generator);

}  // namespace haze
