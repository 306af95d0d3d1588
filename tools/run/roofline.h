#pragma once

#include <span>
#include <string>
#include <string_view>

namespace haze {

/// How fast numbers come from one level of memory.
struct Roof {
  std::string name;
  double gbytes = 0;  // 10^9 bytes a second
};

/// A kernel as the roofline sees it.
struct RooflinePoint {
  std::string name;
  double intensity = 0;  // operations a byte of operands and result, each moved once
  double gflops = 0;     // 10^9 operations a second, measured
};

/// The most that a kernel of this intensity can reach with its operands behind this roof: min(peak_gflops,
/// intensity gbytes) (Williams, Waterman and Patterson 2009).
double roofline(double peak_gflops, const Roof& roof, double intensity);

/// "1 thread", "2 threads".
std::string number_of_threads(int threads);

/// An SVG figure with both axes logarithmic: the peak, a slope for each roof, and the points, whose names
/// show when the pointer rests on them. Throws Error where there is no roof or no point.
std::string plot_roofline_svg(double peak_gflops, std::span<const Roof> roofs,
                              std::span<const RooflinePoint> points, std::string_view title);

}  // namespace haze
