#include "haze/diffusion/gaussian/wgan_gp.h"

namespace haze {

Tensor interpolates(const Tensor& real, const Tensor& fake, const Tensor& epsilon) {
  const Tensor share = unsqueeze(epsilon, 1);
  return add(multiply(share, real), multiply(scale_shift(share, -1, 1), fake));
}

GradientPenalty gradient_penalty(const Critic& critic, const Tensor& x_hat) {
  if (!gradients_enabled()) fail("gradient_penalty: it holds a gradient, and the tape is off");
  const Variable x = Variable::leaf(x_hat);
  // Examples do not touch one another: the gradient of the sum holds the gradient of each.
  const Variable slope = gradient(sum(critic(x)), {x}, {.create_graph = true})[0];
  // The root of 0 has no derivative.
  constexpr double kEpsilon = 1e-12;
  const Variable norms = sqrt(sum(square(slope), {1}) + kEpsilon);
  return {mean(square(norms - 1.0)), mean(norms).value()};
}

Variable critic_difference(const Variable& real_values, const Variable& fake_values) {
  return mean(real_values) - mean(fake_values);
}

Variable critic_generator_loss(const Variable& fake_values) {
  return -mean(fake_values);
}

}  // namespace haze
