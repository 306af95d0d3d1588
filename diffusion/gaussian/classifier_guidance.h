#pragma once

#include <functional>
#include <span>

#include "haze/diffusion/gaussian/ancestral_sampler.h"

/// Dhariwal and Nichol 2021, "Diffusion models beat GANs on image synthesis", section 4: a sampler is led to
/// examples of which a classifier says y. Both ways need the classifier at every level of noise.
///
/// Way 1, of a reverse step: p(x_s | x_t, y) is proportional to p(x_s | x_t) p(y | x_s). The first factor is
/// N(mu, Sigma). Around mu, log p(y | x_s) is nearly linear (the lecture's reference 6, equations 48 to 50):
///   log p(x_s | x_t) p(y | x_s) = -1/2 (x_s - mu)^T Sigma^-1 (x_s - mu) + (x_s - mu)^T g + constant
///                               = log N(x_s; mu + Sigma g, Sigma) + constant,    g = grad log p(y | mu).
/// Way 2, of the score: grad log p(x | y) = grad log p(x) + grad log p(y | x) by Bayes' rule (Song et al.
/// 2021, "Score-based generative modeling through SDEs", equation 14), which makes any sampler conditional.
namespace haze {

/// grad log p(y_i | x_i) for each example: x, real [n, ...], at this level. Shaped as x.
using LogProbabilityGradient = std::function<Tensor(const Tensor& x, const NoiseLevel& level)>;

/// log p(y_i | x_i) for each example, [n].
using LogProbability = std::function<Variable(const Variable& x, const NoiseLevel& level)>;

/// The gradient of a classifier, by the tape, which also works within a sampler.
LogProbabilityGradient gradient_of(LogProbability log_probability);

/// Way 1, Algorithm 1 of the paper: x_s from N(mu + scale Sigma g, Sigma). The gradient is taken at mu and
/// the level of x_s, as in the derivation; the paper's code takes it at x_t. A step to data has no variance,
/// and so no guidance. Else as ancestral_sample(). Throws Error where a gradient is not shaped as x.
Tensor guided_ancestral_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                               ReverseVariance variance, const LogProbabilityGradient& gradient, double scale,
                               Tensor x, const NoiseSource& noise, const LevelObserver& observer = {});

/// Way 2, Algorithm 2 of the paper: epsilon - scale sigma grad log p(y | x), since the score is
/// -epsilon / sigma, and the x_0 that belongs to it. With scale = 1 it denoises data of which y is true. A
/// learned variance stays as it is. Throws Error where a gradient is not shaped as x.
GaussianDenoiser guided(GaussianDenoiser denoise, LogProbabilityGradient gradient, double scale);

}  // namespace haze
