#pragma once

#include "haze/diffusion/model.h"

/// Goodfellow et al. 2014, "Generative adversarial nets" (GAN): a generator makes examples of noise z, and a
/// discriminator D says with which probability an example is real. Each has its loss. A discriminator here is
/// known by its logits, D(x) = sigmoid(logit), which are real [n].
namespace haze {

/// -V(D, G) = -E log D(x) - E log(1 - D(G(z))), which the discriminator minimises (equation 1; Algorithm 1).
/// The best one is D = p_data / (p_data + p_g), and its loss is log 4 - 2 JSD(p_data || p_g) (Proposition 1,
/// Theorem 1).
Variable discriminator_loss(const Variable& real_logits, const Variable& fake_logits);

/// E log(1 - D(G(z))), the generator's part of V, which it minimises (equation 1). It is flat where the
/// discriminator is sure that the examples are fake.
Variable saturating_generator_loss(const Variable& fake_logits);

/// -E log D(G(z)): the same fixed point, with large gradients where the other is flat (section 3).
Variable non_saturating_generator_loss(const Variable& fake_logits);

/// The model "gan" of tensors. Generator and discriminator are multilayer perceptrons of the flattened
/// example, as in the paper, with ReLU in the generator and leaky ReLU of slope 0.2 in the discriminator. The
/// generator of images, which have `value_levels`, ends with tanh. Its objectives are "discriminator" and
/// "generator", in that order in a step: the generator's step comes after every `gan.discriminator_steps` of
/// the other. The losses are those above, or those of WGAN-GP (wgan_gp.h). It has no likelihood.
ModelInfo gan_model();

}  // namespace haze
