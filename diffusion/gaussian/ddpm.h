#pragma once

#include <functional>

#include "haze/diffusion/gaussian/level_samplers.h"
#include "haze/diffusion/model.h"

/// Ho et al. 2020, "Denoising diffusion probabilistic models" (DDPM): data become Gaussian noise in T steps,
/// and a network that tells the noise from the data goes back. Its variational bound is in ddpm_bound.h.
namespace haze {

/// A DDPM without its network: the process, and how its reverse step is parameterised.
struct GaussianDiffusion {
  NoiseSchedule schedule;
  Parameterisation prediction = Parameterisation::epsilon;
  ReverseVariance variance = ReverseVariance::large;
  /// Of images: the numbers of x_0 are one of so many levels, evenly from -1 to 1. 0: real numbers.
  int64_t value_levels = 0;
};

/// A network's answer to x_t [n, ...].
struct DdpmPrediction {
  Variable value;           // of what GaussianDiffusion::prediction names; shaped as x_t
  Variable variance_share;  // Denoised::variance_share, shaped as x_t; undefined where the variance is fixed
};
/// The network: x_t, real [n, ...], at t, float32 [n]: whole numbers of 1..T in training and in the bound;
/// some samplers ask between them.
using DdpmNetwork = std::function<DdpmPrediction(const Tensor& x_t, const Tensor& t)>;

/// sigma_t^2 of p_theta(x_{t-1} | x_t) (section 3.2), of a fixed variance. The small one is 0 at t = 1: there
/// it is that of t = 2. So is the large one of images at t = 1, where `value_levels` is positive, as in the
/// paper's code; of points, whose L_0 is a density, it is beta_1. Throws Error where `kind` is learned.
double reverse_variance(const NoiseSchedule& schedule, ReverseVariance kind, int t, int64_t value_levels = 0);

/// A draw of q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I) (equation 2). Throws Error where t is
/// not in 1..T.
Tensor add_one_step(const NoiseSchedule& schedule, const Tensor& x_before, int t, Generator& generator);

/// x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise (equation 4).
struct NoisyValues : Prepared {
  Tensor x_0, x_t, noise;  // [n, ...]
  Tensor t;                // int32 [n], in 1..T
  Tensor weights;          // real [n]: 1 / (T p_t) where t was drawn with p_t; undefined where all are 1
  /// Whether the loss reads x_0, x_t, noise and t, and nothing of them on the host.
  bool is_all_of_loss = false;

  std::vector<Tensor> tensors() const override;
  std::shared_ptr<const Prepared> to(Device device) const override;
};
NoisyValues add_noise(const NoiseSchedule& schedule, const Tensor& x_0, const Tensor& t,
                      Generator& generator);

/// A step t in 1..T for each of `count` examples, int32 [count], by draw_steps() (random_times.h),
/// antithetic.
Tensor spread_steps(int64_t count, const NoiseSchedule& schedule, Generator& generator);

/// The network's target: epsilon, x_0, or v = sqrt(alpha_bar_t) epsilon - sqrt(1 - alpha_bar_t)
/// x_0 (Salimans and Ho 2022). Shaped as x_t.
Tensor prediction_target(const GaussianDiffusion& diffusion, const NoisyValues& noisy);

/// The x_0 that belongs to a prediction; shaped as x_t.
Variable predicted_x_0(const GaussianDiffusion& diffusion, const Variable& prediction, const Tensor& x_t,
                       const Tensor& t);

/// What training minimises.
enum class DdpmLoss {
  simple,  // L_simple: squared error of the prediction (Ho et al. 2020, equation 14)
  l1,      // its absolute error
  bound,   // L_vlb: T times the bound's term of t
  hybrid,  // L_simple + 0.001 L_vlb, which learns the variance alone (Nichol and Dhariwal 2021, equation 16)
};
// L_vlb of hybrid is T times the term of t, in nats a number. The paper does not name the unit. Its code
// takes bits, which weigh the bound 1 / ln 2 = 1.44 times as much; its factor T / 1000 is the same 0.001 T.

/// The loss of each example, [n]: a mean over its numbers. Of the bound it is T times the term of t, in nats
/// a number.
Variable ddpm_losses(const GaussianDiffusion& diffusion, DdpmLoss loss, const DdpmPrediction& prediction,
                     const NoisyValues& noisy);

/// Algorithm 1, line 5: the mean of the losses, each times its weight.
Variable weighted_mean(const Variable& losses, const Tensor& weights);

/// The network as samplers ask it: a level's time is t / T.
GaussianDenoiser ddpm_denoiser(const DdpmNetwork& network, const GaussianDiffusion& diffusion);

/// Algorithm 2: `count` examples of `shape`, real [count, shape...], from x_T = noise to x_0; no noise is
/// added at t = 1. Example i depends on the generator and i alone. The observer may be empty.
Samples ddpm_sample(const DdpmNetwork& network, const GaussianDiffusion& diffusion, int64_t count,
                    const Shape& shape, const SampleObserver& observer, Generator& generator);

/// The model "ddpm" of tensors, with a network of values (nn/value_network.h).
ModelInfo ddpm_model();

}  // namespace haze
