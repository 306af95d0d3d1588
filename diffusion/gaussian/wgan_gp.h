#pragma once

#include <functional>

#include "haze/autograd/ops.h"

/// Gulrajani et al. 2017, "Improved training of Wasserstein GANs" (WGAN-GP). The discriminator becomes a
/// critic, any function of slope 1 at most. The difference of its means approaches the Wasserstein distance.
namespace haze {

/// The critic's value of each of n examples: x [n, width] -> [n].
using Critic = std::function<Variable(const Variable& x)>;

/// x_hat = epsilon x + (1 - epsilon) x_tilde (Algorithm 1, line 6): real and fake [n, width], epsilon [n] in
/// [0, 1].
Tensor interpolates(const Tensor& real, const Tensor& fake, const Tensor& epsilon);

/// The mean over examples of (||grad_x critic(x_hat)||_2 - 1)^2, the norm of each example by itself (equation
/// 3), and of the norms. The penalty can be differentiated by the critic's parameters; it needs a tape
/// (no NoGradient).
struct GradientPenalty {
  Variable penalty;
  Tensor mean_norm;
};
GradientPenalty gradient_penalty(const Critic& critic, const Tensor& x_hat);

/// E critic(x) - E critic(x_tilde): a lower bound of the Wasserstein distance where the slope is 1 at most.
Variable critic_difference(const Variable& real_values, const Variable& fake_values);

/// -E critic(G(z)), which the generator minimises (Algorithm 1, line 11).
Variable critic_generator_loss(const Variable& fake_values);

}  // namespace haze
