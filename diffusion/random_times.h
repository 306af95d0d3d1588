#pragma once

#include <span>
#include <vector>

#include "haze/engine/generator.h"

/// The times at which a batch's examples are corrupted.
namespace haze {

/// One number in (0, 1] for each of `count` examples, each by itself uniform. They are independent, or
/// evenly spaced on a circle from one random start (`antithetic`; Sahoo et al. 2024, section 3.5). The latter
/// spreads the times of a batch and lowers the variance of its mean.
std::vector<double> draw_uniforms(int64_t count, bool antithetic, Generator& generator);

/// The same for discrete time: one step for each example, each by itself uniform in 1..steps.
std::vector<int32_t> draw_steps(int64_t count, int steps, bool antithetic, Generator& generator);

/// The same where step t in 1..T is drawn with probability probabilities[t - 1], of which the sum is 1.
std::vector<int32_t> draw_steps(int64_t count, std::span<const double> probabilities, bool antithetic,
                                Generator& generator);

}  // namespace haze
