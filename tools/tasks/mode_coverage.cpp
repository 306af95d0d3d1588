#include "haze/tools/tasks/mode_coverage.h"

#include <cmath>
#include <limits>

#include "haze/engine/error.h"

namespace haze {

ModeCoverage mode_coverage(const SampleSet& samples, std::span<const PointMode> modes) {
  constexpr double kDeviations = 3, kLeastShare = 0.25;
  if (samples.dimensions != 2 || modes.empty()) fail("modes are covered by points of the plane");
  ModeCoverage coverage;
  coverage.samples.resize(modes.size());
  for (int64_t i = 0; i < samples.count; ++i) {
    const std::span<const double> point = samples.row(i);
    size_t nearest = 0;
    double distance = std::numeric_limits<double>::infinity();
    for (size_t mode = 0; mode < modes.size(); ++mode) {
      const double other = std::hypot(point[0] - modes[mode].x, point[1] - modes[mode].y);
      if (other < distance) {
        distance = other;
        nearest = mode;
      }
    }
    if (!(distance <= kDeviations * modes[nearest].deviation)) continue;
    ++coverage.samples[nearest];
    ++coverage.high_quality;
  }
  const double least = kLeastShare * static_cast<double>(samples.count) / static_cast<double>(modes.size());
  for (const int64_t of_mode : coverage.samples) coverage.covered += static_cast<double>(of_mode) >= least;
  return coverage;
}

}  // namespace haze
