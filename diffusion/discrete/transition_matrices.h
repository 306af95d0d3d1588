#pragma once

#include "haze/engine/ops.h"

/// Sections 2 and 3 of Austin et al. 2021 in matrices, for any number of states and any corruption. Models do
/// not need them: the absorbing state has closed forms (d3pm.h). Tests and the course hold these against the
/// matrices.
namespace haze {

/// Q_t of appendix A.2.2, float64 [states, states], row-stochastic: [Q_t]_ij = q(x_t = j | x_{t-1} = i). A
/// state stays with probability 1 - beta and moves to `mask`, the absorbing state, with probability beta.
Tensor absorbing_transition(int64_t states, int64_t mask, double beta);

/// Q_t of appendix A.2.1: a state becomes any of the K states, itself among them, with probability beta / K
/// each, and stays otherwise. Throws Error where beta is not in [0, 1].
Tensor uniform_transition(int64_t states, double beta);

/// q(x_t | x_{t-1}) = Cat(x_{t-1} Q_t) (section 3): distributions over states as rows, float64 [..., states].
Tensor transition_step(const Tensor& distribution, const Tensor& transition);

/// q(x_{t-1} | x_t, x_0) of equation 3, float64 [states]: proportional to (x_t Q_t^T) * (x_0 Q_bar_{t-1}),
/// for one token, from any transition matrices. Throws Error where x_t cannot come from x_0.
Tensor posterior(int64_t x_t, int64_t x_0, const Tensor& transition, const Tensor& cumulative_before);

}  // namespace haze
