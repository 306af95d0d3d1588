#pragma once

#include <span>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

namespace haze {

/// Lu et al. 2022, "DPM-Solver++" (arXiv 2211.01095), Algorithm 2: DPM-Solver++(2M). It solves the
/// probability flow in lambda = log(alpha / sigma), half the log-SNR, to second order: x_0 is taken as linear
/// in lambda, with the slope from the step before. The first step has none and is of first order; so is a
/// step to data, where lambda is infinite. One call of the denoiser a step, no random numbers. x [n, ...] is
/// at levels[0]; the result is at the last level.
Tensor dpm_solver_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, Tensor x,
                         const LevelObserver& observer = {});

}  // namespace haze
