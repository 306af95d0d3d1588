#pragma once

#include <functional>
#include <span>

#include "haze/diffusion/bound.h"
#include "haze/diffusion/discrete/masked_loss.h"
#include "haze/diffusion/discrete/schedule.h"

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

struct BoundOptions {
  int passes = 8;                         // independent estimates, at least 2; each draws one x_t a text
  MaskDraw draw = MaskDraw::independent;  // in continuous time
  bool every_step = false;       // in discrete time: one x_t at each of the T steps, T times the work
  int64_t rows_per_call = 8192;  // tokens the network works on at a time
  BoundObserver observer;
};

/// Within a pass the times (or counts) of the texts are evenly spaced on a circle from one random start,
/// which is what keeps the variance low; each by itself is uniform in (0, 1), so the estimate is unbiased for
/// any order of the texts. Throws Error where options.every_step is set.
BoundEstimate mdlm_bound(const Denoiser& denoiser, std::span<const std::span<const int32_t>> texts,
                         const MaskingSchedule& schedule, const BoundOptions& options, Generator& generator);

/// The same for L_vb of discrete time: for each text T times the term of one t, the t of a pass evenly spread
/// over 1..T in the same way; or, with options.every_step, the sum over all T steps as d3pm_bound has it.
BoundEstimate d3pm_bound_of_texts(const Denoiser& denoiser, std::span<const std::span<const int32_t>> texts,
                                  const DiscreteNoise& noise, const BoundOptions& options,
                                  Generator& generator);

}  // namespace haze
