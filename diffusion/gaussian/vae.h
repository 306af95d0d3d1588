#pragma once

#include <functional>

#include "haze/diffusion/model.h"

/// Kingma and Welling 2014, "Auto-encoding variational Bayes" (VAE): a latent z is drawn from N(0, I), a
/// decoder makes an example of it, and an encoder guesses the z of an example. Data x are [n, ...], latents z
/// [n, k], and a result of each example is [n], in nats.
namespace haze {

/// N(mean, diag(exp(log_variance))) of each example, both [n, k].
struct DiagonalGaussian {
  Variable mean, log_variance;
};

/// log N(z; mean, diag(exp(log_variance))) of each example.
Variable log_density(const DiagonalGaussian& gaussian, const Variable& z);

/// q(z | x), the encoder.
using VaeEncoder = std::function<DiagonalGaussian(const Tensor& x)>;
/// log p(x | z) of each example, by the decoder.
using VaeReconstruction = std::function<Variable(const Tensor& x, const Variable& z)>;

/// z = mu + sigma epsilon, which is distributed as q and can be differentiated by mu and sigma (section 2.4);
/// epsilon [n, k].
Variable reparameterise(const DiagonalGaussian& q, const Tensor& epsilon);

/// KL(q || N(0, I)) = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - log sigma_j^2) of each example (appendix B).
Variable kl_to_standard_normal(const DiagonalGaussian& q);

/// The two parts of the bound, -log p(x) <= kl - log_likelihood (equation 10), each of every example.
struct VaeTerms {
  Variable kl;              // KL(q(z | x) || p(z)), exactly
  Variable log_likelihood;  // log p(x | z), the mean over draws of z from q(z | x)
};

/// The parts for the noise epsilon [draws, n, k]: the estimator of section 2.3 with L = draws.
VaeTerms vae_terms(const VaeEncoder& encoder, const VaeReconstruction& reconstruction, const Tensor& x,
                   const Tensor& epsilon);

/// Burda et al. 2016, "Importance weighted autoencoders", equation 8: for each example an estimate of
/// -log (1/K) sum_k p(x, z_k) / q(z_k | x), z_k ~ q(z | x), in nats, for noise epsilon [K, n, k]. Its mean is
/// an upper bound of -log p(x) that falls as K grows; with K = 1 it is that of equation 10.
std::vector<double> importance_weighted_nats(const VaeEncoder& encoder,
                                             const VaeReconstruction& reconstruction, const Tensor& x,
                                             const Tensor& epsilon);

/// The model "vae" of tensors. As in the paper's appendix C, encoder and decoder are multilayer perceptrons
/// of the flattened example. The decoder gives the mean of a normal distribution whose variance is learned,
/// one for all numbers or one for each. Images have numbers of `value_levels` values, and the discretized
/// Gaussian (discretized_gaussian.h).
ModelInfo vae_model();

}  // namespace haze
