#pragma once

#include <span>

#include "haze/diffusion/masked_loss.h"
#include "haze/diffusion/schedule.h"

/// Sahoo et al. 2024, "Simple and effective masked diffusion language models" (MDLM): D3PM's absorbing state
/// in continuous time. In the limit T -> infinity the bound becomes one weighted cross-entropy (equation 10):
///   L = integral from 0 to 1 of  -alpha_bar'(t) / (1 - alpha_bar(t))  E[ CE(x_t) ]  dt,
/// where CE(x_t) is the sum of -log p(x_0 | x_t) over the masked tokens.
namespace haze {

/// How x_t is drawn in training and in evaluation. Both have the bound as their expectation.
enum class MaskDraw {
  /// A time t for each sequence, and each token masked by itself with probability 1 - alpha_bar(t).
  independent,
  /// A number k of masked tokens, evenly in 1..n, and every choice of k of the n tokens equally likely; the
  /// weight is n/k. The integral over t of the weighted binomial probability of k is 1/k, whatever the
  /// schedule, so this is the same bound with less noise. Only for denoisers that do not depend on time.
  exact_count,
};

struct MdlmOptions {
  MaskDraw draw = MaskDraw::independent;
  bool antithetic = true;  // times of a batch evenly spaced on a circle from one random start (section 3.5)
};

/// Equation 10 for one draw of x_t for each sequence. Throws Error where the options do not suit the
/// denoiser.
DiffusionLoss mdlm_loss(const Denoiser& denoiser, const TextBatch& x_0, const MaskingSchedule& schedule,
                        const MdlmOptions& options, Generator& generator, const ForwardContext& context);

/// An estimate of the bound of a set of texts. The error is one standard error of the Monte Carlo estimate,
/// from the spread of its passes; it says nothing of the choice of texts. Independent draws have weights that
/// are now and then large: with ten passes over six texts of three tokens, two standard errors hold the truth
/// in 87 % of cases, where exact_count's hold it in 91 % (Student's t: 92 %).
struct BoundEstimate {
  double nats = 0;            // of all texts together
  double standard_error = 0;  // of nats
  int64_t tokens = 0;
  int64_t texts = 0;

  double nats_per_token() const { return nats / static_cast<double>(tokens); }
  double bits_per_token() const;
  double perplexity() const;  // e^(nats per token)
  double nats_per_text() const { return nats / static_cast<double>(texts); }
};

struct BoundOptions {
  int passes = 8;  // independent estimates, at least 2; each draws one x_t a text
  MaskDraw draw = MaskDraw::independent;
  int64_t rows_per_call = 8192;  // tokens the network works on at a time
};

/// Within a pass the times (or counts) of the texts are evenly spaced on a circle from one random start,
/// which is what keeps the variance low; each by itself is uniform in (0, 1), so the estimate is unbiased for
/// any order of the texts.
BoundEstimate mdlm_bound(const Denoiser& denoiser, std::span<const std::span<const int32_t>> texts,
                         const MaskingSchedule& schedule, const BoundOptions& options, Generator& generator);

/// The same from d3pm_bound's sum over all T steps, with one draw of x_t at each in every pass.
BoundEstimate d3pm_bound_of_texts(const Denoiser& denoiser, std::span<const std::span<const int32_t>> texts,
                                  const DiscreteNoise& noise, const BoundOptions& options,
                                  Generator& generator);

}  // namespace haze
