#pragma once

#include "haze/diffusion/gaussian/ddpm.h"

/// The variational bound of a DDPM (Ho et al. 2020, equation 5):
///   -log p_theta(x_0) <= L_T + sum over t > 1 of L_{t-1} + L_0.
namespace haze {

/// L_T = KL(q(x_T | x_0) || N(0, I)) of each example, exactly, in nats.
std::vector<double> ddpm_prior_nats(const NoiseSchedule& schedule, const Tensor& x_0);

/// The term of t of each example in nats, [n], at the x_t that was drawn:
///   t > 1: L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p_theta(x_{t-1} | x_t));
///   t = 1: L_0 = -log p_theta(x_0 | x_1): of images the discretised decoder (section 3.3;
///          discretized_gaussian.h), otherwise the density N(x_0; mu_theta(x_1, 1), sigma_1^2 I).
/// The means enter by the error of the prediction, whatever it is of. Has gradients.
Variable ddpm_terms(const GaussianDiffusion& diffusion, const DdpmPrediction& prediction,
                    const NoisyValues& noisy);

/// One draw of those terms, in float64 after the network. Of images the predicted x_0 is kept in [-1, 1], as
/// in the paper's evaluation.
std::vector<double> ddpm_term_nats(const DdpmNetwork& network, const GaussianDiffusion& diffusion,
                                   const Tensor& x_0, const Tensor& t, Generator& generator);

/// How ddpm_bound_nats() draws t: probabilities of 1..T, 0 for t = 1. Half of it is uniform. The other half
/// is proportional to beta_t / (alpha_t (1 - alpha_bar_t)), the weight of the noise's squared error in the
/// term of t where the variance is beta_t: terms of small t are larger and vary more.
std::vector<double> bound_step_probabilities(const NoiseSchedule& schedule);

/// For each example an unbiased estimate of the bound on -log p_theta(x_0), in nats: L_T, one draw of L_0,
/// and the term of one t in 2..T over its probability. L_0 is drawn each time, since it varies most.
std::vector<double> ddpm_bound_nats(const DdpmNetwork& network, const GaussianDiffusion& diffusion,
                                    const Tensor& x_0, Generator& generator);

}  // namespace haze
