#pragma once

#include <cstdint>
#include <vector>

#include "haze/engine/tensor.h"

namespace haze {

/// The probabilities of the two most likely tokens at each row of logits [rows, vocabulary], without the
/// `forbidden` tokens and at temperature 1: float64 [rows, 2], the larger first. A single token that is
/// allowed has a second of probability 0.
Tensor two_largest_probabilities(const Tensor& logits, const std::vector<int32_t>& forbidden);

/// The numbers of a column, float64 [rows, 1]. Throws Error where one is NaN: then the network's logits are
/// no distribution.
std::vector<double> checked_confidences(const Tensor& column);

}  // namespace haze
