#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "haze/tools/run/metrics.h"

namespace haze {

/// An SVG figure of a run: the training loss, raw and smoothed, and the first measure of its evaluations with
/// two standard errors, over steps, in the measure's unit. Of several objectives the first one's loss. Light
/// or dark as the viewer is. Throws where no row has a number to show.
std::string plot_run_svg(const std::vector<MetricsRow>& rows, std::string_view title);

/// Round numbers (1, 2 or 5 times a power of ten apart) from the first at or above `low` to the last at or
/// below `high`, of which there are about `count`. Throws unless low < high.
std::vector<double> nice_ticks(double low, double high, int count);

/// The means of the values y at x (ascending) around each place in `at` (ascending), with Gaussian weights of
/// standard deviation `width` in the unit of x that are cut off at three; x has a value at least that near
/// every place.
std::vector<double> smooth(const std::vector<double>& x, const std::vector<double>& y, double width,
                           const std::vector<double>& at);

}  // namespace haze
