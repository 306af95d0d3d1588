#pragma once

#include "haze/diffusion/gaussian/classifier_guidance.h"

/// Control of a frozen model by gradients (Li et al. 2022, section 5.1; the lecture's "Decoding and
/// Controllable Generation"). A text with the property c is wanted, and p(x_{t-1} | x_t) is known.
///   1. p(x_{0:T} | c) = p(x_T | c) prod_t p(x_{t-1} | x_t, c): a control problem for each step.
///   2. p(x_{t-1} | x_t, c) = p(x_{t-1}, c | x_t) / p(c | x_t). The denominator is free of x_{t-1}:
///      the quotient is proportional to p(x_{t-1} | x_t) p(c | x_{t-1}, x_t).
///   3. Given x_{t-1}, which is less noisy, x_t tells nothing more of c:
///      p(c | x_{t-1}, x_t) = p(c | x_{t-1}).
///   4. The gradient in x_{t-1} of log p(x_{t-1} | x_t, c) is therefore that of log p(x_{t-1} | x_t)
///      plus that of log p(c | x_{t-1}).
///   5. p(x_{t-1} | x_t) = N(mu, sigma^2 I): its log is -|x_{t-1} - mu|^2 / (2 sigma^2) + constant.
/// The sampled x_{t-1} takes K gradient steps on -log p(c | x_{t-1}) + lambda |mu - x_{t-1}|^2 / sigma. The
/// paper's code and the lecture divide by sigma, not by 2 sigma^2; lambda is chosen for that.
namespace haze {

/// Which Adagrad makes the K updates of a step.
enum class AdagradUse {
  each_update,  // a new one each time, as the paper's code does: x moves by step_size sign(gradient)
  all_updates,  // one for the K updates: later ones are shorter
};

struct ControlOptions {
  int updates = 3;         // K
  double step_size = 0.1;  // Adagrad's learning rate
  double fluency = 0.01;   // lambda
  AdagradUse adagrad = AdagradUse::each_update;
};

/// The K updates. `sampled` and the mean of `step`, real [n, ...], are at `level`. The deviation of `step` is
/// sigma; where it is undefined, sigma is 0, and the distance is divided by 1. Shaped as `sampled`. Throws
/// Error where the options are out of range.
Tensor control_update(const Tensor& sampled, const ReverseStep& step, const NoiseLevel& level,
                      const LogProbability& control, const ControlOptions& options);

/// ancestral_sample() where every sampled x_s is moved by control_update() before the next step. The last
/// step, to data, is not controlled. An empty control leaves all as it is.
Tensor controlled_ancestral_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                                   ReverseVariance variance, const LogProbability& control,
                                   const ControlOptions& options, Tensor x, const NoiseSource& noise,
                                   const LevelObserver& observer = {});

}  // namespace haze
