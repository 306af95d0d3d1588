#pragma once

#include <span>

#include "haze/tools/tasks/point_sets.h"
#include "haze/tools/tasks/sample_set.h"

namespace haze {

/// How well samples cover the modes of a mixture.
struct ModeCoverage {
  std::vector<int64_t> samples;  // high-quality samples of each mode
  int64_t high_quality = 0;      // their sum
  int64_t covered = 0;           // modes that count as covered
};

/// A sample is of high quality if the nearest mode's mean is at most three standard deviations away. It then
/// is a sample of that mode (Srivastava et al. 2017, arXiv 1705.07761, section 4.1). The paper calls a mode
/// covered that has one such sample, which a single stray point gives. Here it is covered that has at least a
/// quarter of its fair share, samples / modes. Of points of the mixture itself 1 - exp(-4.5) = 0.989 are of
/// high quality. Throws Error where the samples are not points of the plane, or there is no mode.
ModeCoverage mode_coverage(const SampleSet& samples, std::span<const PointMode> modes);

}  // namespace haze
