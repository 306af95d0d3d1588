#include "haze/nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "haze/engine/error.h"

namespace haze {

LearningRateSchedule::LearningRateSchedule(const LearningRateOptions& options) : options_(options) {
  if (!(options.peak >= 0) || !std::isfinite(options.peak)) {
    fail("schedule: the learning rate must be finite and not negative, got {}", options.peak);
  }
  if (options.total_steps < 1) fail("schedule: there must be at least 1 step, got {}", options.total_steps);
  if (options.warmup_steps < 0 || options.warmup_steps > options.total_steps) {
    fail("schedule: warm-up must take 0 to {} steps, got {}", options.total_steps, options.warmup_steps);
  }
  if (!(options.final_fraction >= 0 && options.final_fraction <= 1)) {
    fail("schedule: the final fraction must lie in [0, 1], got {}", options.final_fraction);
  }
}

double LearningRateSchedule::at(int64_t step) const {
  if (step < 1) fail("schedule: steps count from 1, got {}", step);
  const auto& [curve, peak, warmup_steps, total_steps, final_fraction] = options_;
  if (step <= warmup_steps) return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  if (curve == LearningRateCurve::constant) return peak;
  if (step > total_steps) return peak * final_fraction;
  const double progress =
      static_cast<double>(step - 1 - warmup_steps) / static_cast<double>(total_steps - warmup_steps);
  const double height =
      curve == LearningRateCurve::linear ? 1 - progress : (1 + std::cos(std::numbers::pi * progress)) / 2;
  return peak * (final_fraction + (1 - final_fraction) * height);
}

}  // namespace haze
