#pragma once

#include <span>

#include "haze/diffusion/gaussian/runge_kutta_45.h"
#include "haze/diffusion/gaussian/sde.h"

/// The probability flow dx/dt = f(x, t) - g(t)^2 score(x, t) / 2 (Song et al. 2021, section 4.3, equation
/// 13). It is an ordinary differential equation whose solutions have the same marginals p_t as the SDE. Every
/// example is integrated with steps of its own (runge_kutta_45.h), so it does not depend on the others; the
/// network is called for all of them together.
namespace haze {

/// epsilon_theta(x, t) of x [n, ...] at a time of its own for each example, shaped as x, and differentiable.
using ContinuousNoisePredictor = std::function<Variable(const Variable& x, std::span<const double> times)>;

/// The denoiser of samplers over levels that such a predictor makes.
GaussianDenoiser denoiser_of(ContinuousNoisePredictor predict);

/// The flow starts here for likelihoods: at t = 0 itself g^2 score has no finite value.
inline constexpr double kLikelihoodStart = 1e-5;

struct FlowResult {
  Tensor values;      // [n, ...]
  int64_t calls = 0;  // of the network with the whole batch
};

/// x [n, ...] at time `begin` taken along the flow to time `end`, forwards or backwards.
FlowResult probability_flow(const ContinuousNoisePredictor& predict, const Sde& sde, double begin, double end,
                            const Tensor& x, const OdeTolerance& tolerance = {},
                            const LevelObserver& observer = {});

/// How the divergence of the flow, the trace of its Jacobian, is had.
enum class TraceEstimate {
  exact,       // one vector-Jacobian product for each number of an example
  rademacher,  // v^T J v, unbiased: v is +1 or -1 (Hutchinson 1990)
  gaussian,    // the same with normal v, of a larger variance (Skilling 1989)
};

/// div epsilon_theta of each example: the trace of d epsilon_theta / dx. Probes v, shaped as x, are given for
/// an estimate, and undefined where the trace is exact. Also returns epsilon itself.
struct Divergence {
  Tensor epsilon;                  // as x
  std::vector<double> divergence;  // [n]
};
Divergence divergence_of(const ContinuousNoisePredictor& predict, const Tensor& x,
                         std::span<const double> times, const Tensor& probe = {});

/// Probes for `count` examples, a stream of random numbers for each. Throws Error for the exact trace.
Tensor trace_probe(TraceEstimate kind, const Tensor& like, Generator& generator);

struct LikelihoodResult {
  std::vector<double> nats;  // -log p(x) of each example
  int64_t calls = 0;         // of the network with the whole batch, not counting the backward passes
};

/// -log p(x_0) by the change of variables along the flow (section 4.3 and appendix D.2):
///   log p_0(x(0)) = log p_T(x(T)) + integral from 0 to T of div(f - g^2 score / 2) dt,
/// from kLikelihoodStart to T = 1. A call of the network costs its forward pass and, for the exact trace, a
/// backward pass for each number of an example. An estimate, with one v for each example, costs one backward
/// pass. It is unbiased but for the errors of integration.
LikelihoodResult probability_flow_nats(const ContinuousNoisePredictor& predict, const Sde& sde,
                                       const Tensor& x_0, TraceEstimate trace, Generator& generator,
                                       const OdeTolerance& tolerance = {});

}  // namespace haze
