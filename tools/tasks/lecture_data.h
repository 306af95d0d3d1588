#pragma once

#include <string>

#include "haze/engine/tensor.h"

namespace haze {

/// The examples that `haze lecture forward` adds noise to, float32. They are 8 digits [8, 1, height, width],
/// 2000 points [2000, 2] of a set of point_set_names(), or the image of a PNG file [1, channels, height,
/// width]. `data` is "digits", the set's name, or the file's, which ends in ".png". Digits and points are
/// drawn from a stream of the seed that no noise is drawn from. Throws Error where there is no such set or
/// file.
Tensor lecture_data(const std::string& data, uint64_t seed);

}  // namespace haze
