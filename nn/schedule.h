#pragma once

#include <cstdint>

namespace haze {

/// The curve of the learning rate after warm-up.
enum class LearningRateCurve : uint8_t { constant, linear, cosine };

struct LearningRateOptions {
  LearningRateCurve curve = LearningRateCurve::cosine;
  double peak = 1e-3;         // highest learning rate
  int64_t warmup_steps = 0;   // 0 to total_steps
  int64_t total_steps = 1;    // after these the learning rate stays as it is
  double final_fraction = 0;  // of the peak, after total_steps; in [0, 1]; a constant curve ignores it
};

/// Learning rate as a function of the step alone. Steps count from 1, as an optimizer's do: step s of the
/// warm-up has peak s / warmup_steps, so its last step has the peak. After it, with p = (s - 1 -
/// warmup_steps) / (total_steps - warmup_steps), the curve falls from peak towards f peak, f =
/// final_fraction: linear is peak (1 - (1 - f) p); cosine is peak (f + (1 - f) (1 + cos(pi p)) / 2)
/// (Loshchilov and Hutter 2017, equation 5, without restarts). The first step after warm-up has the peak.
/// Step total_steps is the last one above f peak, so that each of the steps 1 to total_steps trains, also
/// where f is 0.
class LearningRateSchedule {
 public:
  /// Throws Error where an option is outside its range.
  explicit LearningRateSchedule(const LearningRateOptions& options);

  /// Throws Error where step < 1.
  double at(int64_t step) const;

 private:
  LearningRateOptions options_;
};

}  // namespace haze
