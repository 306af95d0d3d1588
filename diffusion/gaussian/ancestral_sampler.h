#pragma once

#include <functional>
#include <span>

#include "haze/diffusion/gaussian/gaussian_denoiser.h"

namespace haze {

/// The variance of a reverse step p_theta(x_s | x_t) (Ho et al. 2020, section 3.2).
enum class ReverseVariance {
  small,    // that of the posterior q(x_s | x_t, x_0)
  large,    // that which the forward step adds: beta_t
  learned,  // between the two, as Denoised::variance_share says
};

/// p_theta(x_s | x_t) = N(mean, deviation^2 I).
struct ReverseStep {
  Tensor mean;  // shaped as x
  Tensor
      deviation;  // [1], or shaped as x where it is learned; undefined in a step to data, which adds no noise
};

/// The reverse step from x at one level to a less noisy one, with what the denoiser says of x. Throws Error
/// where the variance is learned and `denoised` has none.
ReverseStep reverse_step(const Denoised& denoised, const Tensor& x, const NoiseLevel& from,
                         const NoiseLevel& to, ReverseVariance variance);

/// Leads the ancestral sampler, in each step that adds noise. Both functions may be empty.
struct Steering {
  std::function<Tensor(const ReverseStep& step, const NoiseLevel& to)> mean;  // instead of step.mean
  std::function<Tensor(const Tensor& x, const ReverseStep& step, const NoiseLevel& to)>
      sample;  // instead of x
};

/// Ho et al. 2020, Algorithm 2, over any falling levels. With every step of the schedule it is the paper's
/// sampler. With fewer, it is the strided one of Nichol and Dhariwal 2021, section 4. x [n, ...] is at
/// levels[0], and the result at the last level. No noise is added in a step to data.
Tensor ancestral_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                        ReverseVariance variance, Tensor x, const NoiseSource& noise,
                        const LevelObserver& observer = {}, const Steering& steering = {});

}  // namespace haze
