#pragma once

#include <span>
#include <vector>

#include "haze/diffusion/gaussian/probability_flow.h"
#include "haze/diffusion/model.h"

/// Song et al. 2021, "Score-based generative modeling through stochastic differential equations": training.
/// The network predicts the noise epsilon in x(t); the score is -epsilon / sigma.
namespace haze {

/// How often each time is drawn, which weights the score's errors at it.
enum class TimeWeighting {
  noise,       // t uniform: lambda = sigma^2 in equation 7, so every error of epsilon counts the same
  likelihood,  // density proportional to g^2 / sigma^2, so lambda = g^2: a bound of the negative
               // log-likelihood (Song, Durkan, Murray and Ermon 2021, "Maximum likelihood training", theorem
               // 1)
};

/// A time in [kLikelihoodStart, 1] for each of `count` examples, evenly spread over the distribution from one
/// random start (draw_uniforms of random_times.h).
std::vector<double> draw_times(const Sde& sde, TimeWeighting weighting, int64_t count, Generator& generator);

/// x(t) = alpha(t) x(0) + sigma(t) epsilon of each example at its time (equation 29).
struct NoisyAtTimes : Prepared {
  Tensor x_t, noise;          // [n, ...]
  std::vector<double> times;  // [n]
};
NoisyAtTimes add_sde_noise(const Sde& sde, const Tensor& x_0, std::vector<double> times,
                           Generator& generator);

/// Denoising score matching (equation 7): the mean of (epsilon - epsilon_theta(x(t), t))^2 over all numbers.
/// The score's error is that of epsilon over sigma.
Variable score_matching_loss(const ContinuousNoisePredictor& predict, const NoisyAtTimes& noisy);

/// A function of x and t, each example's own time float32 [n] in [0, 1].
using TimedFunction = std::function<Variable(const Variable& x, const Tensor& t)>;

/// epsilon_theta from a network F: (sigma x + alpha s F(x / s, t)) / s^2 with s^2 = alpha^2 + sigma^2. The
/// network sees numbers of one size at every level of VE too, and predicts v (gaussian_denoiser.h) over s. At
/// high noise, where epsilon is nearly x / sigma, its errors hardly matter.
ContinuousNoisePredictor preconditioned(TimedFunction network, const Sde& sde);

/// The same, with the x(0) that belongs to epsilon_theta kept in [low, high]. Where it is, epsilon_theta does
/// not change.
ContinuousNoisePredictor with_clipped_data(ContinuousNoisePredictor predict, const Sde& sde, double low,
                                           double high);

/// x_0 plus uniform noise that fills the bin of each number: uniform dequantisation (Theis, van den Oord and
/// Bethge 2016, "A note on the evaluation of generative models", section 3.1). The numbers of x_0 are on
/// `levels` levels, evenly from -1 to 1. A bin is 2 / (levels - 1) wide.
Tensor dequantised(const Tensor& x_0, int64_t levels, Generator& generator);

/// The addition to -log p(x), a density of dequantised x, for each number: -log of a bin's width. By Jensen's
/// inequality the mean of the sum over the noise is an upper bound of -log P(x_0), the probability of the
/// bins. So it compares with the discretised probabilities of a DDPM and of a VAE.
double dequantisation_nats(int64_t levels);

/// The model "score_sde" of tensors, with a network of values (nn/value_network.h). Its likelihood is that of
/// the probability flow; that of images is of dequantised ones.
ModelInfo score_sde_model();

}  // namespace haze
