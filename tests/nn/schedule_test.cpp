#include "haze/nn/schedule.h"

#include <cmath>
#include <numbers>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr double kPeak = 0.004;

LearningRateSchedule schedule_of(LearningRateCurve curve, double final_fraction = 0.1) {
  return LearningRateSchedule({.curve = curve,
                               .peak = kPeak,
                               .warmup_steps = 20,
                               .total_steps = 100,
                               .final_fraction = final_fraction});
}

bool throws(const LearningRateOptions& options) {
  try {
    LearningRateSchedule schedule(options);
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace

TEST_CASE("learning rate: warm-up rises by equal amounts from its first step to the peak at its last") {
  for (const auto curve :
       {LearningRateCurve::constant, LearningRateCurve::linear, LearningRateCurve::cosine}) {
    const LearningRateSchedule schedule = schedule_of(curve);
    CHECK(schedule.at(1) == doctest::Approx(kPeak / 20).epsilon(1e-14));
    CHECK(schedule.at(10) == doctest::Approx(kPeak / 2).epsilon(1e-14));
    CHECK(schedule.at(20) == kPeak);
  }
}

TEST_CASE("learning rate: a constant one keeps the peak for ever") {
  const LearningRateSchedule schedule = schedule_of(LearningRateCurve::constant);
  for (const int64_t step : {21, 60, 100, 101, 1000000}) CHECK(schedule.at(step) == kPeak);
}

TEST_CASE("learning rate: a linear one is on the straight line from the peak to its end") {
  const LearningRateSchedule schedule = schedule_of(LearningRateCurve::linear);
  CHECK(schedule.at(21) == kPeak);
  CHECK(schedule.at(22) == doctest::Approx(kPeak * (1 - 0.9 / 80)).epsilon(1e-14));
  CHECK(schedule.at(61) == doctest::Approx(kPeak * 0.55).epsilon(1e-14));
  CHECK(schedule.at(100) == doctest::Approx(kPeak * (0.1 + 0.9 / 80)).epsilon(1e-14));
  CHECK(schedule.at(101) == kPeak * 0.1);
  CHECK(schedule.at(102) == kPeak * 0.1);
}

TEST_CASE("learning rate: a cosine one halves its distance half way and ends above its final fraction") {
  const LearningRateSchedule schedule = schedule_of(LearningRateCurve::cosine);
  // (1 + cos x) / 2 = cos^2(x / 2)
  const double half_angle = std::numbers::pi / 160;
  CHECK(schedule.at(21) == kPeak);
  CHECK(schedule.at(22) ==
        doctest::Approx(kPeak * (0.1 + 0.9 * std::pow(std::cos(half_angle), 2))).epsilon(1e-14));
  CHECK(schedule.at(61) == doctest::Approx(kPeak * 0.55).epsilon(1e-14));
  CHECK(schedule.at(100) ==
        doctest::Approx(kPeak * (0.1 + 0.9 * std::pow(std::sin(half_angle), 2))).epsilon(1e-12));
  CHECK(schedule.at(101) == kPeak * 0.1);
  CHECK(schedule.at(100000) == kPeak * 0.1);
}

TEST_CASE("learning rate: no warm-up, nothing but warm-up and a final fraction of 0 and 1 are allowed") {
  const LearningRateSchedule falling({.curve = LearningRateCurve::linear, .peak = 1, .total_steps = 4});
  CHECK(falling.at(1) == 1);
  CHECK(falling.at(2) == 0.75);
  CHECK(falling.at(4) == 0.25);
  CHECK(falling.at(5) == 0);
  const LearningRateSchedule rising(
      {.curve = LearningRateCurve::cosine, .peak = 1, .warmup_steps = 4, .total_steps = 4});
  CHECK(rising.at(1) == 0.25);
  CHECK(rising.at(4) == 1);
  CHECK(rising.at(5) == 0);
  CHECK(schedule_of(LearningRateCurve::cosine, 1).at(77) == doctest::Approx(kPeak).epsilon(1e-15));
}

TEST_CASE("learning rate: every step of a run trains, and the only step of a run of one trains at the peak") {
  for (const auto curve :
       {LearningRateCurve::constant, LearningRateCurve::linear, LearningRateCurve::cosine}) {
    for (const int64_t total : {1, 2, 3, 1000}) {
      for (const int64_t warmup : {int64_t{0}, int64_t{1}, total / 2, total}) {
        const LearningRateSchedule schedule(
            {.curve = curve, .peak = kPeak, .warmup_steps = warmup, .total_steps = total});
        for (int64_t step = 1; step <= total; ++step) {
          CHECK(schedule.at(step) > 0);
          CHECK(schedule.at(step) <= kPeak);
        }
        if (total == 1) CHECK(schedule.at(1) == kPeak);
      }
    }
  }
}

TEST_CASE("learning rate: options and steps outside their range are errors") {
  CHECK(throws({.curve = LearningRateCurve::linear, .peak = -1}));
  CHECK(throws({.peak = NAN}));
  CHECK(throws({.total_steps = 0}));
  CHECK(throws({.warmup_steps = -1, .total_steps = 10}));
  CHECK(throws({.warmup_steps = 11, .total_steps = 10}));
  CHECK(throws({.final_fraction = 1.5}));
  CHECK_FALSE(throws({}));
  CHECK_THROWS_WITH_AS(schedule_of(LearningRateCurve::linear).at(0), "schedule: steps count from 1, got 0",
                       Error);
}

}  // namespace haze
