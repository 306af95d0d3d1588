#pragma once

#include "haze/diffusion/discrete/masked_loss.h"
#include "haze/diffusion/discrete/schedule.h"

/// Sahoo et al. 2024, "Simple and effective masked diffusion language models" (MDLM): D3PM's absorbing state
/// in continuous time. In the limit T -> infinity the bound becomes one weighted cross-entropy (equation 10):
///   L = integral from 0 to 1 of  -alpha_bar'(t) / (1 - alpha_bar(t))  E[ CE(x_t) ]  dt,
/// where CE(x_t) is the sum of -log p(x_0 | x_t) over the masked tokens.
namespace haze {

/// How t and x_t are drawn. Equation 10 is the expectation of all three.
enum class MaskDraw {
  /// The paper's: t evenly in (0, 1), and each token masked by itself with probability 1 - alpha_bar(t). The
  /// weight has no upper limit. No t below 2^-53 is drawn. That matters for polynomial schedules of small
  /// power
  /// alone: with power 0.1, 2.5% of all mask probabilities lie below.
  independent,
  /// A number k of masked tokens, evenly in 1..n, and every choice of k of the n tokens equally likely. The
  /// weight is n/k. Only for denoisers that do not depend on time.
  exact_count,
  /// The same, and a mask probability p from Beta(k, n - k + 1); the denoiser is told its time t(p). The
  /// weight
  /// is n/k. Substituting p for t makes equation 10 the integral over p of E[CE] / p. In it k of n tokens are
  /// masked with probability C(n, k) p^k (1-p)^(n-k), and C(n, k) B(k, n - k + 1) = 1/k. So this is the same
  /// bound for every schedule, and no weight is above n.
  beta,
};

struct MdlmOptions {
  MaskDraw draw = MaskDraw::beta;
  bool antithetic = true;  // times, or counts, of a batch evenly spread (section 3.5)
};

/// One draw of t and x_t for each sequence, with the weights of equation 10.
Corruption mdlm_corruption(const TextBatch& x_0, const MaskingSchedule& schedule, const MdlmOptions& options,
                           int32_t mask_id, Generator& generator);

/// The continuous-time bound, by draws of MaskDraw::beta whose counts are evenly spread over a batch. Each
/// count by itself is uniform, so the estimate is unbiased for any order of the texts.
class MdlmLikelihood : public Likelihood {
 public:
  MdlmLikelihood(const Denoiser& denoiser, const MaskingSchedule& schedule)
      : denoiser_(denoiser), schedule_(schedule) {}
  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override;

 private:
  const Denoiser& denoiser_;
  MaskingSchedule schedule_;
};

/// The sampler that sample.sampler names: ancestral, first-hitting, top-margin or confidence.
class MdlmSampler : public Sampler {
 public:
  MdlmSampler(const Denoiser& denoiser, const MaskingSchedule& schedule)
      : denoiser_(denoiser), schedule_(schedule) {}
  Uses uses() const override { return {.length = true, .prompt = true, .gaps = true}; }
  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override;

 private:
  const Denoiser& denoiser_;
  MaskingSchedule schedule_;
};

/// The model "mdlm".
ModelInfo mdlm_model();

}  // namespace haze
