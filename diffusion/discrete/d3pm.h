#pragma once

#include <span>

#include "haze/diffusion/discrete/masked_loss.h"
#include "haze/diffusion/discrete/schedule.h"

/// Austin et al. 2021, "Structured denoising diffusion models in discrete state-spaces" (D3PM), with the
/// absorbing state: the lecture's "Diffusion models with a discrete absorbing state". Time runs t = 1..T;
/// alpha_bar_t = prod (1 - beta_s).
namespace haze {

/// Q_t of appendix A.2.2, float64 [states, states], row-stochastic: [Q_t]_ij = q(x_t = j | x_{t-1} = i). A
/// state stays with probability 1 - beta and moves to `mask`, the absorbing state, with probability beta.
Tensor absorbing_transition(int64_t states, int64_t mask, double beta);

/// q(x_t | x_{t-1}) = Cat(x_{t-1} Q_t) (section 3): distributions over states as rows, float64 [..., states].
Tensor transition_step(const Tensor& distribution, const Tensor& transition);

/// q(x_{t-1} | x_t, x_0) of equation 3, float64 [states]: proportional to (x_t Q_t^T) * (x_0 Q_bar_{t-1}),
/// for one token, from any transition matrices. Throws Error where x_t cannot come from x_0.
Tensor posterior(int64_t x_t, int64_t x_0, const Tensor& transition, const Tensor& cumulative_before);

/// The same in closed form for the absorbing state: the probability that a token masked at t is not yet
/// masked at t - 1, (alpha_bar_{t-1} - alpha_bar_t) / (1 - alpha_bar_t). A token that is not masked at t was
/// x_0 at t - 1 too. Throws Error where t is not in 1..T.
double unmask_probability(const DiscreteNoise& noise, int t);

struct D3pmOptions {
  double auxiliary_weight = 0;  // lambda of equation 5
};

/// L_lambda = L_vb + lambda E[-log p(x_0 | x_t)] (equation 5) for one t per sequence, evenly drawn. With the
/// absorbing state every KL term of L_vb (equation 1) is unmask_probability(t) times the cross-entropy of the
/// masked tokens, the term at t = 1 included; the prior term is 0 since everything is masked at T.
DiffusionLoss d3pm_loss(const Denoiser& denoiser, const TextBatch& x_0, const DiscreteNoise& noise,
                        const D3pmOptions& options, Generator& generator, const ForwardContext& context);

/// One term of L_vb for each sequence, in nats: that of t[i] for sequence i, from one draw of its x_t. Throws
/// Error where a t is not in 1..T.
std::vector<double> d3pm_bound_terms(const Denoiser& denoiser, const TextBatch& x_0,
                                     const DiscreteNoise& noise, std::span<const int> t,
                                     Generator& generator);

/// L_vb of each sequence in nats, summed over all t = 1..T, with `samples` draws of x_t at each.
std::vector<double> d3pm_bound(const Denoiser& denoiser, const TextBatch& x_0, const DiscreteNoise& noise,
                               int samples, Generator& generator);

}  // namespace haze
