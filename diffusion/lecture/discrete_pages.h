#pragma once

#include "haze/diffusion/lecture.h"

namespace haze {

/// Pages "Diffusion models for discrete state spaces" and "Absorbing state": the product x_{t-1} Q_t of three
/// states, and ten steps each of the uniform and the absorbing transition, with the lecture's numbers; then
/// the posterior q(x_{t-1} | x_t, x_0) of the three states. Uses nothing of the question.
LectureAnswer transition_products(const LectureQuestion& question);

}  // namespace haze
