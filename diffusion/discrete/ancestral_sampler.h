#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/diffusion/discrete/sampling_grid.h"

namespace haze {

/// Ancestral sampling (Austin et al. 2021, equation 4; Sahoo et al. 2024, equation 6): from t to s each
/// masked token appears with probability (alpha_bar_s - alpha_bar_t) / (1 - alpha_bar_t), drawn from p(x_0 |
/// x_t). Which tokens appear does not depend on the network, so it is drawn first: a step that shows nothing
/// new in a text costs nothing, and only tokens that appear are projected onto the vocabulary.
Samples ancestral_sample(const Denoiser& denoiser, std::span<const Request> requests,
                         const SamplingGrid& grid, const SamplerOptions& options, Generator& generator);

}  // namespace haze
