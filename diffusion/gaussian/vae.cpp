#include "haze/diffusion/gaussian/vae.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace haze {
namespace {

// sum_j x_ij.
Variable sum_of_each(const Variable& x) {
  return sum(x, {1});
}

// epsilon of draw i, [n, k].
Tensor draw_of(const Tensor& epsilon, int64_t i) {
  return reshape(slice(epsilon, 0, i, i + 1), {epsilon.size(1), epsilon.size(2)});
}

void check_noise(const char* who, const Tensor& x, const Tensor& epsilon) {
  if (epsilon.rank() != 3 || epsilon.size(0) < 1 || epsilon.size(1) != x.size(0)) {
    fail("{}: noise of shape {} for {} examples, it takes [draws, examples, latent]", who,
         epsilon.shape().to_string(), x.size(0));
  }
}

}  // namespace

Variable log_density(const DiagonalGaussian& gaussian, const Variable& z) {
  const Variable squares = square(z - gaussian.mean) * exp(-gaussian.log_variance);
  return -0.5 * sum_of_each(squares + gaussian.log_variance + std::log(2 * std::numbers::pi));
}

Variable reparameterise(const DiagonalGaussian& q, const Tensor& epsilon) {
  return q.mean + exp(0.5 * q.log_variance) * Variable(epsilon);
}

Variable kl_to_standard_normal(const DiagonalGaussian& q) {
  return 0.5 * sum_of_each(square(q.mean) + exp(q.log_variance) - q.log_variance - 1.0);
}

VaeTerms vae_terms(const VaeEncoder& encoder, const VaeReconstruction& reconstruction, const Tensor& x,
                   const Tensor& epsilon) {
  check_noise("vae_terms", x, epsilon);
  const DiagonalGaussian q = encoder(x);
  const int64_t draws = epsilon.size(0);
  Variable log_likelihood;
  for (int64_t i = 0; i < draws; ++i) {
    const Variable z = reparameterise(q, draw_of(epsilon, i));
    const Variable one = reconstruction(x, z);
    log_likelihood = i == 0 ? one : log_likelihood + one;
  }
  if (draws > 1) log_likelihood = log_likelihood * (1.0 / static_cast<double>(draws));
  return {kl_to_standard_normal(q), log_likelihood};
}

std::vector<double> importance_weighted_nats(const VaeEncoder& encoder,
                                             const VaeReconstruction& reconstruction, const Tensor& x,
                                             const Tensor& epsilon) {
  check_noise("importance_weighted_nats", x, epsilon);
  const NoGradient scope;
  const DiagonalGaussian q = encoder(x);
  const Tensor zero = zeros_like(q.mean.value());
  const DiagonalGaussian prior{zero, zero};
  std::vector<std::vector<double>> log_weights;  // of each draw, of each example
  for (int64_t i = 0; i < epsilon.size(0); ++i) {
    const Variable z = reparameterise(q, draw_of(epsilon, i));
    const Variable log_weight = reconstruction(x, z) + log_density(prior, z) - log_density(q, z);
    log_weights.push_back(log_weight.value().to_vector<double>());
  }
  std::vector<double> nats;
  for (size_t example = 0; example < static_cast<size_t>(x.size(0)); ++example) {
    double largest = -std::numeric_limits<double>::infinity(), total = 0;
    for (const auto& draw : log_weights) largest = std::max(largest, draw[example]);
    for (const auto& draw : log_weights) total += std::exp(draw[example] - largest);
    nats.push_back(std::log(static_cast<double>(log_weights.size()) / total) - largest);
  }
  return nats;
}

}  // namespace haze
