#pragma once

#include <span>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

namespace haze {

/// Lu et al. 2022, "DPM-Solver++" (arXiv 2211.01095), Algorithm 2: DPM-Solver++(2M). It solves the
/// probability flow in lambda = log(alpha / sigma), half the log-SNR, to second order. To that end x_0 is
/// linear in lambda, with the slope of the step before. The first step has no slope yet and is of first
/// order. So is a step to data, where lambda is infinite. A step asks the denoiser once and draws no numbers.
/// x [n, ...] is at levels[0], and the result at the last level. It needs levels that are smooth in lambda,
/// such as log_snr_levels().
Tensor dpm_solver_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels, Tensor x,
                         const LevelObserver& observer = {});

}  // namespace haze
