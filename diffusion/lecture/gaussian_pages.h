#pragma once

#include "haze/diffusion/lecture.h"

namespace haze {

/// Page "Forward Diffusion Process": x_t by t steps of q(x_t | x_{t-1}) beside x_t by one of q(x_t | x_0), at
/// each t that is asked for, with mean and standard deviation over all numbers, time and memory. The steps
/// keep their path x_1..x_t, as a loss over the path would; throws Error where it takes more than 1 GB. The
/// noise is of stream 0 of the seed: data drawn from the same seed are of another stream.
LectureAnswer forward_process(const LectureQuestion& question);

/// Page "Posterior" (the lecture's reference 4): mu_tilde_t = a x_0 + b x_t and beta_tilde_t, at each t.
LectureAnswer posterior_coefficients(const LectureQuestion& question);

/// Page "Objective for DDPM": L_{t-1} = w_t ||epsilon - epsilon_theta||^2 + C_t a number, for both fixed
/// variances, at each t; L_simple has 1 for w_t and leaves C_t out.
LectureAnswer objective_weights(const LectureQuestion& question);

}  // namespace haze
