#pragma once

#include <span>

#include "haze/diffusion/gaussian/sde.h"

namespace haze {

/// The reverse SDE dx = (f(x, t) - g(t)^2 score(x, t)) dt + g(t) dw (Song et al. 2021, equation 6) by the
/// method of Euler and Maruyama. One step between two neighbouring times is
///   x <- x - (f - g^2 score) h + g sqrt(h) z,   h = times[i] - times[i + 1] > 0.
/// x [n, ...] is at times[0]; the result is at the last time. With a guided denoiser (classifier_guidance.h)
/// the score is that of p_t(x | y), and the SDE the conditional one (equation 14). Throws Error where the
/// times do not fall.
Tensor reverse_sde_sample(const GaussianDenoiser& denoise, const Sde& sde, std::span<const double> times,
                          Tensor x, const NoiseSource& noise, const LevelObserver& observer = {});

}  // namespace haze
