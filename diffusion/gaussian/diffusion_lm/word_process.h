#pragma once

#include <vector>

#include "haze/diffusion/gaussian/ancestral_sampler.h"
#include "haze/nn/sequences.h"

/// The forward process of Li et al. 2022, "Diffusion-LM improves controllable text generation", section 4.1.
/// A text w becomes vectors, and the vectors become noise:
///   q(x_0 | w)       = N(EMB(w), sigma_0^2 I)
///   q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)
/// A sum of independent Gaussian variables is Gaussian, so with x_0 integrated out
///   q(x_t | w) = N(sqrt(alpha_bar_t) EMB(w), (1 - alpha_bar_t + alpha_bar_t sigma_0^2) I).
namespace haze {

struct WordProcess {
  NoiseSchedule schedule;
  double sigma_0 = 0;  // of q(x_0 | w)
};

/// sigma_0^2 = 1 - alpha_bar_1, as in the paper's code.
WordProcess word_process(NoiseSchedule schedule);

/// The level of x_t with EMB(w) as the data: alpha and sigma of q(x_t | w), t in 0..T. sigma is sigma_0 at
/// t = 0.
NoiseLevel word_level(const WordProcess& process, int t);
/// A level with x_0 as the data, of any sampler, as one with EMB(w) as the data.
NoiseLevel to_word_level(const WordProcess& process, const NoiseLevel& level);
/// The way back.
NoiseLevel from_word_level(const WordProcess& process, const NoiseLevel& level);

/// The answer of a denoiser to x_t.
enum class WordEstimate {
  embedding,  // E[EMB(w) | x_t]: of a distribution over words
  x_0,        // E[x_0 | x_t], noise of q(x_0 | w) included, and at t = 1 E[EMB(w) | x_1]: the paper's
};

/// p_theta(x_{t-1} | x_t) = N(estimate_coefficient estimate + x_t_coefficient x_t, variance I).
struct WordReverseStep {
  double estimate_coefficient, x_t_coefficient, variance;
};

/// That of t in 1..T. With an estimate of x_0 it is DDPM's, with x_0 itself at t = 1 and the variances of
/// reverse_variance() (ddpm.h). With one of the embedding, the mean is that of q(x_{t-1} | x_t, w), and so is
/// the small variance. Throws Error where the variance is learned.
WordReverseStep word_reverse_step(const WordProcess& process, WordEstimate estimate, ReverseVariance variance,
                                  int t);

/// One number for each sequence as [rows, 1] of `dtype`, for its rows.
Tensor for_rows(const Sequences& sequences, const std::vector<double>& numbers, Dtype dtype);

}  // namespace haze
