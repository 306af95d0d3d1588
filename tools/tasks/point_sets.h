#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "haze/engine/generator.h"
#include "haze/engine/tensor.h"

namespace haze {

/// The names of the sets below.
std::vector<std::string> point_set_names();

/// `count` points of the plane, float32 [count, 2], drawn independently. The first n of a larger draw are a
/// draw of n. Throws Error on another name than these: "eight-gaussians": eight normal distributions of
/// standard deviation 0.2; their means lie evenly on a circle of radius 2. "two-moons": two half circles of
/// radius 1 that reach into one another, moved so that the mean of all points is 0, with normal noise of
/// standard deviation 0.1.
Tensor draw_points(const std::string& set, int64_t count, Generator& generator);

}  // namespace haze
