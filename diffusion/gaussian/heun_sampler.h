#pragma once

#include <span>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

namespace haze {

/// Karras et al. 2022, "Elucidating the design space of diffusion-based generative models" (EDM), Algorithm
/// 1: Heun's method for the probability flow d(x / alpha) = epsilon d(sigma / alpha), of second order; a step
/// to data is Euler's. The slope, (x - D(x)) / sigma in the paper, where alpha = 1, is epsilon. Two calls of
/// the denoiser a step, one in a step to data; no random numbers. x [n, ...] is at levels[0]; the result is
/// at the last level.
Tensor heun_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, Tensor x,
                   const LevelObserver& observer = {});

}  // namespace haze
