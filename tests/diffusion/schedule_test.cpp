#include "haze/diffusion/discrete/schedule.h"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

std::vector<MaskingSchedule> continuous_schedules() {
  return {MaskingSchedule(ContinuousSchedule::log_linear), MaskingSchedule(ContinuousSchedule::cosine),
          MaskingSchedule(ContinuousSchedule::polynomial, 0.5),
          MaskingSchedule(ContinuousSchedule::polynomial, 2),
          MaskingSchedule(ContinuousSchedule::polynomial, 3.7)};
}

constexpr DiscreteSchedule kDiscreteSchedules[] = {DiscreteSchedule::reciprocal, DiscreteSchedule::cosine,
                                                   DiscreteSchedule::linear};

}  // namespace

TEST_CASE("continuous schedules: alpha_bar falls from 1 at t = 0 to 0 at t = 1") {
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    CHECK(schedule.alpha_bar(0) == 1);
    CHECK(schedule.alpha_bar(1) == 0);
    for (int i = 1; i <= 1000; ++i)
      CHECK(schedule.alpha_bar(i / 1000.0) < schedule.alpha_bar((i - 1) / 1000.0));
  }
}

TEST_CASE("continuous schedules are the published formulas") {
  for (double t : {0.0, 0.1, 0.37, 0.5, 0.93, 1.0}) {
    CHECK(MaskingSchedule(ContinuousSchedule::log_linear).alpha_bar(t) ==
          doctest::Approx(1 - t).epsilon(1e-14));
    CHECK(MaskingSchedule(ContinuousSchedule::cosine).alpha_bar(t) ==
          doctest::Approx(1 - std::cos(std::acos(-1.0) / 2 * (1 - t))).epsilon(1e-13));
    CHECK(MaskingSchedule(ContinuousSchedule::polynomial, 3).alpha_bar(t) ==
          doctest::Approx(1 - t * t * t).epsilon(1e-14));
  }
}

TEST_CASE("mask_probability and time_of_mask_probability are inverse to each other") {
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (int i = 0; i <= 1000; ++i) {
      const double p = i / 1000.0;
      CHECK(schedule.mask_probability(schedule.time_of_mask_probability(p)) ==
            doctest::Approx(p).epsilon(1e-12));
    }
    // The cosine schedule is flat at t = 1, where p says little about t.
    for (double t : {0.0, 1e-12, 1e-6, 0.01, 0.25, 0.5, 0.9, 0.99}) {
      CHECK(std::abs(schedule.time_of_mask_probability(schedule.mask_probability(t)) - t) <=
            1e-13 + 1e-12 * t);
    }
    CHECK(schedule.time_of_mask_probability(0) == 0);
    CHECK(schedule.time_of_mask_probability(1) == 1);
  }
}

TEST_CASE("mask_probability does not cancel near t = 0") {
  CHECK(MaskingSchedule(ContinuousSchedule::log_linear).mask_probability(1e-20) == 1e-20);
  CHECK(MaskingSchedule(ContinuousSchedule::cosine).mask_probability(1e-20) ==
        doctest::Approx(std::acos(-1.0) / 2 * 1e-20).epsilon(1e-14));
  CHECK(MaskingSchedule(ContinuousSchedule::polynomial, 2).mask_probability(1e-20) ==
        doctest::Approx(1e-40).epsilon(1e-14));
}

TEST_CASE("loss_weight is -alpha_bar' / (1 - alpha_bar), by central differences") {
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (double t : {0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99}) {
      const double h = 1e-5 * t;
      const double rise = (schedule.mask_probability(t + h) - schedule.mask_probability(t - h)) / (2 * h);
      CHECK(schedule.loss_weight(t) == doctest::Approx(rise / schedule.mask_probability(t)).epsilon(1e-8));
    }
  }
}

TEST_CASE("the log-linear loss weight is 1/t to the last bit") {
  const MaskingSchedule schedule(ContinuousSchedule::log_linear);
  for (double t : {1e-12, 1e-9, 1e-3, 0.1, 1.0 / 3, 0.7, 1.0}) CHECK(schedule.loss_weight(t) == 1 / t);
}

TEST_CASE("discrete schedules: alpha_bar is the product of 1 - beta, never rises, and is 1 at 0 and 0 at T") {
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    for (int steps : {1, 2, 3, 10, 64, 1000}) {
      const DiscreteNoise noise = discrete_noise(kind, steps);
      REQUIRE(noise.steps() == steps);
      CHECK(noise.alpha_bar.front() == 1);
      CHECK(noise.alpha_bar.back() == 0);
      CHECK(noise.beta[0] == 0);
      long double product = 1;
      for (size_t t = 1; t <= static_cast<size_t>(steps); ++t) {
        CHECK((noise.beta[t] >= 0 && noise.beta[t] <= 1));
        product *= 1 - static_cast<long double>(noise.beta[t]);
        CHECK(noise.alpha_bar[t] == doctest::Approx(static_cast<double>(product)).epsilon(1e-12));
        CHECK(noise.alpha_bar[t] <= noise.alpha_bar[t - 1]);
      }
    }
  }
}

TEST_CASE("beta_t = 1/(T - t + 1) masks a token at t with probability t/T") {
  for (int steps : {1, 2, 7, 100, 1000, 4000}) {
    const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, steps);
    for (int t = 0; t <= steps; ++t) {
      CHECK(std::abs(1 - noise.alpha_bar[static_cast<size_t>(t)] - static_cast<double>(t) / steps) < 1e-13);
      if (t > 0) CHECK(noise.beta[static_cast<size_t>(t)] == 1.0 / (steps - t + 1));
    }
  }
}

TEST_CASE("the discrete cosine schedule is f(t)/f(0) with f(t) = cos^2((t/T + s)/(1 + s) pi/2)") {
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::cosine, 100);
  const auto f = [](double t) {
    return std::pow(std::cos((t / 100 + 0.008) / 1.008 * std::acos(-1.0) / 2), 2);
  };
  for (int t = 0; t <= 100; ++t) {
    CHECK(std::abs(noise.alpha_bar[static_cast<size_t>(t)] - f(t) / f(0)) < 1e-12);
  }
}

TEST_CASE("the discrete linear schedule of 1000 steps rises evenly from 1e-4 towards 0.02, and ends at 1") {
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::linear, 1000);
  CHECK(noise.beta[1] == doctest::Approx(1e-4).epsilon(1e-12));
  for (size_t t = 2; t < 1000; ++t) {
    CHECK(noise.beta[t] - noise.beta[t - 1] == doctest::Approx((0.02 - 1e-4) / 999).epsilon(1e-9));
  }
  CHECK(noise.beta[1000] == 1);
}

TEST_CASE("schedules say what is wrong") {
  const MaskingSchedule schedule;
  CHECK_THROWS_WITH_AS(schedule.alpha_bar(1.5), "MaskingSchedule: time 1.5 is not in [0, 1]", Error);
  CHECK_THROWS_AS(schedule.loss_weight(-0.1), Error);
  CHECK_THROWS_AS(schedule.mask_probability(NAN), Error);
  CHECK_THROWS_WITH_AS(schedule.time_of_mask_probability(-1),
                       "MaskingSchedule: mask probability -1 is not in [0, 1]", Error);
  CHECK_THROWS_WITH_AS(MaskingSchedule(ContinuousSchedule::polynomial, 0),
                       "MaskingSchedule: power 0 is not positive", Error);
  CHECK_THROWS_WITH_AS(discrete_noise(DiscreteSchedule::linear, 0), "discrete_noise: 0 steps", Error);
  CHECK(continuous_schedule("log-linear") == ContinuousSchedule::log_linear);
  CHECK(continuous_schedule("cosine") == ContinuousSchedule::cosine);
  CHECK(continuous_schedule("polynomial") == ContinuousSchedule::polynomial);
  CHECK(discrete_schedule("reciprocal") == DiscreteSchedule::reciprocal);
  CHECK(discrete_schedule("cosine") == DiscreteSchedule::cosine);
  CHECK(discrete_schedule("linear") == DiscreteSchedule::linear);
  CHECK_THROWS_WITH_AS(continuous_schedule("linear"),
                       "schedule: 'linear' is not log-linear, cosine or polynomial", Error);
  CHECK_THROWS_WITH_AS(discrete_schedule(""), "schedule: '' is not reciprocal, cosine or linear", Error);
}

}  // namespace haze
