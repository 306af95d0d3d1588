#pragma once

#include <span>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

namespace haze {

/// Song, Meng and Ermon 2021, "Denoising diffusion implicit models" (DDIM), equation 12, over any falling
/// levels. The paper's alpha_t is alpha^2 here, and its 1 - alpha_t is sigma^2. Equation 16 gives the noise:
///   eta = 0: none is drawn; this is Euler's method for the probability flow in sigma / alpha (equation 14);
///   eta = 1: that of the ancestral sampler with the small variance.
/// x [n, ...] is at levels[0], and the result at the last level. Throws Error where eta is negative, and
/// where it asks for more noise than a level has.
Tensor ddim_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, double eta, Tensor x,
                   const NoiseSource& noise, const LevelObserver& observer = {});

}  // namespace haze
