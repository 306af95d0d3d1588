#pragma once

#include <span>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

namespace haze {

/// Karras et al. 2022, "Elucidating the design space of diffusion-based generative models" (EDM), Algorithm
/// 1: Heun's method for the probability flow d(x / alpha) = epsilon d(sigma / alpha), of second order. The
/// paper has alpha = 1, and its slope (x - D(x)) / sigma is epsilon. A step asks the denoiser twice and draws
/// no numbers. A step to data is Euler's and asks once. x [n, ...] is at levels[0], and the result at the
/// last level.
Tensor heun_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, Tensor x,
                   const LevelObserver& observer = {});

}  // namespace haze
