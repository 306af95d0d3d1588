#pragma once

#include "haze/diffusion/lecture.h"

namespace haze {

/// Pages "Diffusion models for discrete state spaces" and "Absorbing state", with the lecture's numbers. It
/// prints the product x_{t-1} Q_t of three states, then ten steps of the uniform and ten of the absorbing
/// transition. The posterior q(x_{t-1} | x_t, x_0) of the three states follows. Uses nothing of the question.
LectureAnswer transition_products(const LectureQuestion& question);

}  // namespace haze
