#pragma once

#include <functional>

#include "haze/diffusion/discrete/schedule.h"

namespace haze {

/// A time, and the probability that a token is masked then.
struct GridPoint {
  double time = 1, mask_probability = 1;
};

/// The times, falling to 0, that ancestral sampling visits. A text that is all mask starts at time 1; one of
/// which a share is masked starts at the time at which that share is to be expected.
class SamplingGrid {
 public:
  /// `steps` even steps of continuous time. Throws Error where steps < 1.
  SamplingGrid(const MaskingSchedule& schedule, int steps);
  /// About evenly spaced times of discrete time; steps = T visits all. Throws Error where steps is not in
  /// 1..T.
  SamplingGrid(const DiscreteNoise& noise, int steps);

  int steps() const { return steps_; }
  /// After `step` of the steps, of a text of which the share `masked` in [0, 1] was masked at the start.
  GridPoint at(int step, double masked = 1) const { return at_(step, masked); }

 private:
  int steps_;
  std::function<GridPoint(int step, double masked)> at_;
};

}  // namespace haze
