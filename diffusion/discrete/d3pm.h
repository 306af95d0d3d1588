#pragma once

#include "haze/diffusion/discrete/masked_loss.h"
#include "haze/diffusion/discrete/schedule.h"

/// Austin et al. 2021, "Structured denoising diffusion models in discrete state-spaces" (D3PM), with the
/// absorbing state: the lecture's "Diffusion models with a discrete absorbing state". Time runs t = 1..T;
/// alpha_bar_t = prod (1 - beta_s). The matrices of the general case are in transition_matrices.h.
namespace haze {

/// The posterior q(x_{t-1} | x_t, x_0) of equation 3 in closed form for the absorbing state: the probability
/// that a token masked at t is not yet masked at t - 1, u_t = (alpha_bar_{t-1} - alpha_bar_t) / (1 -
/// alpha_bar_t). A token that is not masked at t was x_0 at t - 1 too. Throws Error where t is not in 1..T.
double unmask_probability(const DiscreteNoise& noise, int t);

/// How the auxiliary loss of equation 5 is added to the term of one t. With the absorbing state that term is
/// KL_t = u_t CE, where CE is the cross-entropy summed over the masked tokens. L_vb is the sum of T such
/// terms, and T KL_t its estimate by one.
enum class AuxiliaryForm {
  /// T (KL_t + lambda CE): the authors' code minimises KL_t + lambda CE. The factor T leaves the minimum
  /// alone.
  /// With it the total is an estimate of L_vb where lambda is 0, so a learning rate or a clipping norm means
  /// the same for every T and lambda.
  code,
  /// T KL_t + lambda CE: equation 5 prints L_vb + lambda E[CE]. Its lambda is T times weaker.
  paper,
};

struct D3pmOptions {
  double auxiliary = 0;  // lambda of equation 5
  AuxiliaryForm auxiliary_form = AuxiliaryForm::code;
  bool antithetic = true;  // the t of a batch evenly spread over 1..T
};

/// L_lambda of equation 5 for one t and x_t for each sequence. Every KL term of L_vb (equation 1) is
/// unmask_probability(t) times the cross-entropy of the masked tokens, the term at t = 1 included. The prior
/// term is 0, since everything is masked at T.
Corruption d3pm_corruption(const TextBatch& x_0, const DiscreteNoise& noise, const D3pmOptions& options,
                           int32_t mask_id, Generator& generator);

/// L_vb: T terms, of which a draw takes one a text, T times, the t of a batch evenly spread over 1..T. Each t
/// by itself is uniform, so the estimate is unbiased for any order of the texts.
class D3pmLikelihood : public Likelihood {
 public:
  D3pmLikelihood(const Denoiser& denoiser, const DiscreteNoise& noise) : denoiser_(denoiser), noise_(noise) {}
  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override;
  int64_t terms() const override { return noise_.steps(); }
  /// The term of t = `term` for each text. Throws Error where it is not in 1..T.
  std::vector<double> term_nats(const Batch& batch, int64_t term, Generator& generator) const override;

 private:
  const Denoiser& denoiser_;
  DiscreteNoise noise_;
};

/// The sampler that sample.sampler names: confidence, or ancestral in sample.steps of the T steps, or all T
/// where that is less.
class D3pmSampler : public Sampler {
 public:
  D3pmSampler(const Denoiser& denoiser, const DiscreteNoise& noise) : denoiser_(denoiser), noise_(noise) {}
  Uses uses() const override { return {.length = true, .prompt = true, .gaps = true}; }
  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override;

 private:
  const Denoiser& denoiser_;
  DiscreteNoise noise_;
};

/// The model "d3pm".
ModelInfo d3pm_model();

}  // namespace haze
