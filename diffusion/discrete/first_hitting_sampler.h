#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/diffusion/discrete/schedule.h"

namespace haze {

/// First-hitting sampling (Zheng et al. 2024, arXiv 2409.02908, section 4): with n tokens masked the next one
/// appears when the mask probability has fallen by the factor u^(1/n), u uniform, at a position evenly drawn.
/// One call of the network a token, and the distribution of ancestral sampling with infinitely many steps.
Samples first_hitting_sample(const Denoiser& denoiser, std::span<const Request> requests,
                             const MaskingSchedule& schedule, const SamplerOptions& options,
                             Generator& generator);

}  // namespace haze
