#pragma once

#include <cmath>
#include <numbers>

#include "haze/engine/generator.h"
#include "haze/tools/tasks/sample_set.h"

namespace haze::testing {

/// Standard normal numbers (Box and Muller 1958).
inline SampleSet normal_set(int64_t count, int64_t dimensions, uint64_t seed) {
  Generator generator(seed);
  SampleSet set{count, dimensions, {}};
  for (int64_t i = 0; i < count * dimensions; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - generator.uniform()));
    set.values.push_back(radius * std::cos(2 * std::numbers::pi * generator.uniform()));
  }
  return set;
}

/// scale x + shift, for every number.
inline SampleSet moved(SampleSet set, double scale, double shift) {
  for (double& value : set.values) value = scale * value + shift;
  return set;
}

}  // namespace haze::testing
