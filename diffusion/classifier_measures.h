#pragma once

#include "haze/autograd/variable.h"
#include "haze/nn/sequences.h"

namespace haze {

/// The share of rows of `logits` [n, classes] whose likeliest class is `targets` int32 [n], a scalar.
Tensor accuracy(const Tensor& logits, const Tensor& targets);

/// The same of the rows whose target is not 0, the class of padding and of spans that are no constituent; 0
/// where there is no such row.
Tensor accuracy_of_marked(const Tensor& logits, const Tensor& targets);

/// The mean of the rows of each sequence: rows [sequences.rows, width] -> [sequences.count, width].
Variable sequence_means(const Variable& rows, const Sequences& sequences);

}  // namespace haze
