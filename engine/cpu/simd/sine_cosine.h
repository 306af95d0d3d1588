#pragma once

#include <span>

namespace haze {

/// cosines[i] = cos(x f_i) and sines[i] = sin(x f_i), to about 1e-16, for frequencies of -1 to 1. By
/// vectors, unlike std::sin and std::cos.
void sines_and_cosines(double x, std::span<const double> frequencies, std::span<double> cosines,
                       std::span<double> sines);

}  // namespace haze
