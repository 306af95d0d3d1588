#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "haze/engine/tensor.h"

namespace haze {

/// Examples as the measures of samples take them: rows of numbers in float64.
struct SampleSet {
  int64_t count = 0, dimensions = 0;
  std::vector<double> values;  // [count, dimensions]

  std::span<const double> row(int64_t index) const {
    return std::span(values).subspan(static_cast<size_t>(index * dimensions),
                                     static_cast<size_t>(dimensions));
  }
};

/// The examples of `values`, real [count, ...], each flattened. Throws Error where there is none, or a
/// number is not finite.
SampleSet sample_set(const Tensor& values);

/// Throws Error where two sets are not of the same dimensions, or have no examples.
void require_comparable(const SampleSet& a, const SampleSet& b);

}  // namespace haze
