#include "haze/diffusion/discrete/sampling_grid.h"

#include "haze/engine/error.h"

namespace haze {

SamplingGrid::SamplingGrid(const MaskingSchedule& schedule, int steps) : steps_(steps) {
  if (steps < 1) fail("sampling grid: {} steps", steps);
  at_ = [schedule, steps](int step, double masked) {
    const double start = schedule.time_of_mask_probability(masked);
    const double time = start * (steps - step) / steps;
    return GridPoint{time, schedule.mask_probability(time)};
  };
}

SamplingGrid::SamplingGrid(const DiscreteNoise& noise, int steps) : steps_(steps) {
  if (steps < 1 || steps > noise.steps()) {
    fail("sampling grid: {} steps of a process of {}", steps, noise.steps());
  }
  at_ = [noise, steps](int step, double masked) {
    const int64_t t = int64_t{steps - step} * noise.time_of_mask_probability(masked) / steps;
    return GridPoint{static_cast<double>(t) / noise.steps(), 1 - noise.alpha_bar[t]};
  };
}

}  // namespace haze
