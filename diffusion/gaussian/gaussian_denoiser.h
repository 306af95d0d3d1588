#pragma once

#include <functional>

#include "haze/autograd/ops.h"
#include "haze/diffusion/gaussian/noise_level.h"

namespace haze {

/// A network's answer to a noisy x, in both ways: x = alpha x_0 + sigma epsilon. All are shaped as x.
struct Denoised {
  Tensor x_0;
  Tensor epsilon;
  /// The v of a learned variance, mostly in [0, 1] (Nichol and Dhariwal 2021, equation 15). The reverse step
  /// has log variance = v log(added_variance) + (1 - v) log(posterior_variance). Undefined where it is fixed.
  Tensor variance_share;
};

/// A question of a sampler: x, real [n, ...], all at one level whose sigma is positive.
using GaussianDenoiser = std::function<Denoised(const Tensor& x, const NoiseLevel& level)>;

/// The prediction of a network.
enum class Parameterisation {
  epsilon,  // the noise (Ho et al. 2020)
  x_0,      // the data
  v,        // alpha epsilon - sigma x_0 (Salimans and Ho 2022, "Progressive distillation", section 4)
};

/// a x + b y.
Tensor weighted_sum(double a, const Tensor& x, double b, const Tensor& y);

/// Both ways from a prediction of one.
Denoised denoised_from(Parameterisation kind, const Tensor& prediction, const Tensor& x,
                       const NoiseLevel& level);

/// The denoiser with x_0 kept within [low, high], and the epsilon that belongs to it.
GaussianDenoiser clipped(GaussianDenoiser denoise, double low, double high);

/// Standard normal numbers of this shape and dtype, new ones at every call. A test may give others.
using NoiseSource = std::function<Tensor(const Shape& shape, Dtype dtype)>;

/// Normal numbers in which example i of shape [count, ...] has its own stream: its numbers depend on the
/// generator and i alone, whatever the count. Throws Error where a shape has another count.
NoiseSource example_noise(int64_t count, Generator& generator, Device device = Device::cpu);

/// Is shown x at levels[i], from the start at i = 0 to the data at the last. It may throw to break the work
/// off, and may be empty.
using LevelObserver = std::function<void(size_t i, const Tensor& x)>;

}  // namespace haze
