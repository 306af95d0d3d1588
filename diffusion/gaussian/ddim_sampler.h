#pragma once

#include <span>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

namespace haze {

/// Song, Meng and Ermon 2021, "Denoising diffusion implicit models" (DDIM), equation 12 with the deviation of
/// equation 16, over any falling levels; in the paper's letters alpha^2 is alpha_t, and sigma^2 is 1 -
/// alpha_t. eta = 0 draws no numbers and is Euler's method for the probability flow in sigma / alpha
/// (equation 14); eta = 1 is the ancestral sampler with the small variance. x [n, ...] is at levels[0]; the
/// result is at the last level. Throws Error where eta is negative, and where it asks for more noise than a
/// level has.
Tensor ddim_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, double eta, Tensor x,
                   const NoiseSource& noise, const LevelObserver& observer = {});

}  // namespace haze
