#pragma once

#include <functional>

#include "haze/diffusion/gaussian/ancestral_sampler.h"
#include "haze/diffusion/model.h"

/// Ho et al. 2020, "Denoising diffusion probabilistic models" (DDPM): data become Gaussian noise in T steps,
/// and a network that tells the noise from the data goes back.
namespace haze {

/// epsilon_theta(x_t, t): the noise in x_t, real [n, ...], at the steps t, int32 [n] in 1..T. Shaped as x_t.
using NoisePredictor = std::function<Variable(const Tensor& x_t, const Tensor& t)>;

/// sigma_t^2 of p_theta(x_{t-1} | x_t) (section 3.2). The small one is 0 at t = 1: there it is that of t = 2.
double reverse_variance(const NoiseSchedule& schedule, ReverseVariance kind, int t);

/// x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise (equation 4).
struct NoisyValues : Prepared {
  Tensor x_t, noise;  // [n, ...]
  Tensor t;           // int32 [n], in 1..T
};
NoisyValues add_noise(const NoiseSchedule& schedule, const Tensor& x_0, const Tensor& t,
                      Generator& generator);

/// A step t in 1..T for each of `count` examples, int32 [count], by draw_steps() (random_times.h),
/// antithetic.
Tensor spread_steps(int64_t count, const NoiseSchedule& schedule, Generator& generator);

/// L_simple = mean of (epsilon - epsilon_theta(x_t, t))^2 over all numbers (equation 14; Algorithm 1).
Variable ddpm_loss(const NoisePredictor& predict, const NoisyValues& noisy);

/// KL(q(x_T | x_0) || N(0, I)) of each example, exactly, in nats: L_T of equation 5.
std::vector<double> ddpm_prior_nats(const NoiseSchedule& schedule, const Tensor& x_0);

/// For each example one draw of a term of equation 5, that of t[i], in nats:
///   t > 1: KL(q(x_{t-1} | x_t, x_0) || p_theta(x_{t-1} | x_t)), L_{t-1} in the paper;
///   t = 1: -log N(x_0; mu_theta(x_1, 1), sigma_1^2), L_0, as a density: the data are real numbers.
/// Both need the network's error alone, mu_tilde - mu_theta = beta_t / sqrt(alpha_t (1 - alpha_bar_t))
/// (epsilon_theta - epsilon).
std::vector<double> ddpm_term_nats(const NoisePredictor& predict, const NoiseSchedule& schedule,
                                   ReverseVariance variance, const Tensor& x_0, const Tensor& t,
                                   Generator& generator);

/// For each example an unbiased estimate of the bound on -log p_theta(x_0), in nats: its prior term and T
/// times the term of one t, from spread_steps().
std::vector<double> ddpm_bound_nats(const NoisePredictor& predict, const NoiseSchedule& schedule,
                                    ReverseVariance variance, const Tensor& x_0, Generator& generator);

/// Algorithm 2: `count` examples of `shape`, real [count, shape...], from x_T = noise to x_0; no noise is
/// added at t = 1. Example i depends on the generator and i alone. The observer may be empty.
Samples ddpm_sample(const NoisePredictor& predict, const NoiseSchedule& schedule, ReverseVariance variance,
                    int64_t count, const Shape& shape, const SampleObserver& observer, Generator& generator);

/// The model "ddpm" of tensors, with an MLP (nn/mlp_network.h) of the flattened example. As its bound's terms
/// it counts T: that of t = T holds the prior's.
ModelInfo ddpm_model();

}  // namespace haze
