#include "haze/diffusion/gaussian/noise_level.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

double normal_density(double x, double mean, double variance) {
  return std::exp(-(x - mean) * (x - mean) / (2 * variance)) / std::sqrt(2 * M_PI * variance);
}

}  // namespace

TEST_CASE("the level of a step is the schedule's, and that of step 0 is data") {
  const NoiseSchedule schedule = linear_noise_schedule(100);
  for (int t : {0, 1, 37, 100}) {
    const NoiseLevel level = noise_level(schedule, t);
    const auto i = static_cast<size_t>(t);
    CHECK(level.alpha * level.alpha == doctest::Approx(schedule.alpha_bar[i]).epsilon(1e-15));
    CHECK(level.alpha * level.alpha + level.sigma * level.sigma == doctest::Approx(1).epsilon(1e-15));
    CHECK(level.time == t / 100.0);
  }
  CHECK(noise_level(schedule, 0).alpha == 1);
  CHECK(noise_level(schedule, 0).sigma == 0);
  CHECK_THROWS_WITH_AS(noise_level(schedule, 101), "noise_level: t 101 is not in 0..100", Error);
  CHECK_THROWS_AS(noise_level(schedule, -1), Error);
}

TEST_CASE("strided steps fall from T to 1 without a repeat, and all of them are every step") {
  CHECK(strided_steps(1000, 5) == std::vector<int>{1000, 750, 501, 251, 1});
  CHECK(strided_steps(10, 1) == std::vector<int>{10});
  CHECK(strided_steps(10, 2) == std::vector<int>{10, 1});
  for (int count = 1; count <= 60; ++count) {
    const std::vector<int> steps = strided_steps(60, count);
    REQUIRE(std::ssize(steps) == count);
    CHECK(steps.front() == 60);
    if (count > 1) CHECK(steps.back() == 1);
    for (size_t i = 1; i < steps.size(); ++i) CHECK(steps[i] < steps[i - 1]);
  }
  const std::vector<int> all = strided_steps(60, 60);
  for (int i = 0; i < 60; ++i) CHECK(all[static_cast<size_t>(i)] == 60 - i);
  CHECK_THROWS_WITH_AS(strided_steps(10, 11), "strided_steps: 11 steps of 10", Error);
  CHECK_THROWS_AS(strided_steps(10, 0), Error);
}

TEST_CASE("strided levels have the schedule's own alpha_bar and times t / T, and end with data") {
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  for (int count : {1, 7, 50, 1000}) {
    const std::vector<int> steps = strided_steps(1000, count);
    const std::vector<NoiseLevel> levels = strided_levels(schedule, count);
    REQUIRE(levels.size() == steps.size() + 1);
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto t = static_cast<size_t>(steps[i]);
      CHECK(levels[i].alpha == std::sqrt(schedule.alpha_bar[t]));
      CHECK(levels[i].sigma == std::sqrt(schedule.noise[t]));
      CHECK(levels[i].time == steps[i] / 1000.0);
    }
    CHECK(levels.back().alpha == 1);
    CHECK(levels.back().sigma == 0);
    CHECK(levels.back().time == 0);
    check_levels(levels);
  }
}

TEST_CASE(
    "levels even in the log-SNR go from step T to step 1 and then to data, with times between the steps'") {
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  const auto lambda = [](const NoiseLevel& level) { return std::log(level.alpha / level.sigma); };
  for (int count : {2, 3, 20, 1500}) {
    const std::vector<NoiseLevel> levels = log_snr_levels(schedule, count);
    REQUIRE(std::ssize(levels) == count + 1);
    check_levels(levels);
    CHECK(levels[0].alpha == noise_level(schedule, 1000).alpha);
    CHECK(levels[static_cast<size_t>(count - 1)].sigma == noise_level(schedule, 1).sigma);
    CHECK(levels.back().sigma == 0);
    const double step =
        (lambda(noise_level(schedule, 1)) - lambda(noise_level(schedule, 1000))) / (count - 1);
    for (size_t i = 1; i + 1 < levels.size(); ++i) {
      CHECK(lambda(levels[i]) - lambda(levels[i - 1]) == doctest::Approx(step).epsilon(1e-9));
      CHECK(levels[i].alpha * levels[i].alpha + levels[i].sigma * levels[i].sigma ==
            doctest::Approx(1).epsilon(1e-14));
      CHECK(levels[i].time < levels[i - 1].time);
      // As noisy as the two steps around it.
      const double t = levels[i].time * 1000;
      const int below = static_cast<int>(std::floor(t + 1e-9)), above = static_cast<int>(std::ceil(t - 1e-9));
      CHECK(levels[i].sigma >= noise_level(schedule, below).sigma - 1e-12);
      CHECK(levels[i].sigma <= noise_level(schedule, above).sigma + 1e-12);
    }
  }
  CHECK(log_snr_levels(schedule, 1).size() == 2);
  CHECK(log_snr_levels(noise_schedule({0.5}), 1).size() == 2);
  CHECK_THROWS_WITH_AS(log_snr_levels(schedule, 0), "log_snr_levels: 0 levels", Error);
}

TEST_CASE("the step between neighbours is the schedule's: beta_t and the posterior of equations 6 and 7") {
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  for (int t = 1; t <= 1000; ++t) {
    const LevelStep step = step_between(noise_level(schedule, t), noise_level(schedule, t - 1));
    const GaussianPosterior posterior = gaussian_posterior(schedule, t);
    const auto i = static_cast<size_t>(t);
    // Differences of numbers near 1, which have 16 digits, leave beta_t = 1e-4 twelve.
    CHECK(step.alpha_ratio == doctest::Approx(std::sqrt(schedule.alpha[i])).epsilon(1e-12));
    CHECK(step.added_variance == doctest::Approx(schedule.beta[i]).epsilon(1e-11));
    CHECK(step.x_0_coefficient == doctest::Approx(posterior.x_0_coefficient).epsilon(1e-11));
    CHECK(step.x_t_coefficient == doctest::Approx(posterior.x_t_coefficient).epsilon(1e-11));
    CHECK(step.posterior_variance == doctest::Approx(posterior.variance).epsilon(1e-11));
  }
}

TEST_CASE(
    "the step over several steps is that of a schedule of those steps: beta' = 1 - alpha_bar_t / "
    "alpha_bar_s") {
  const NoiseSchedule schedule = linear_noise_schedule(100);
  std::vector<double> beta;
  for (int t = 10; t <= 100; t += 10) {
    const auto i = static_cast<size_t>(t);
    beta.push_back(1 - schedule.alpha_bar[i] / schedule.alpha_bar[i - 10]);
  }
  const NoiseSchedule respaced = noise_schedule(beta);
  for (int k = 1; k <= 10; ++k) {
    const LevelStep step = step_between(noise_level(schedule, 10 * k), noise_level(schedule, 10 * k - 10));
    const GaussianPosterior posterior = gaussian_posterior(respaced, k);
    CHECK(step.added_variance == doctest::Approx(beta[static_cast<size_t>(k - 1)]).epsilon(1e-12));
    CHECK(step.x_0_coefficient == doctest::Approx(posterior.x_0_coefficient).epsilon(1e-12));
    CHECK(step.x_t_coefficient == doctest::Approx(posterior.x_t_coefficient).epsilon(1e-12));
    CHECK(step.posterior_variance == doctest::Approx(posterior.variance).epsilon(1e-12));
  }
}

TEST_CASE("the posterior between any two levels is Bayes' rule on a grid") {
  struct Case {
    const char* name;
    NoiseLevel from, to;
  };
  const Case cases[] = {{"variance exploding", {1, 3, 1}, {1, 1.2, 0.5}},
                        {"variance preserving", {0.6, 0.8, 1}, {0.8, 0.6, 0.5}},
                        {"any", {0.5, 1.7, 1}, {0.9, 0.3, 0.5}},
                        {"alpha grows with noise", {1.5, 4, 1}, {1.2, 0.7, 0.5}}};
  for (const Case& of : cases) {
    CAPTURE(of.name);
    const NoiseLevel from = of.from, to = of.to;
    const LevelStep step = step_between(from, to);
    for (const auto& [x_0, x_t] : {std::pair{0.7, 0.6}, std::pair{-1.3, 2.1}}) {
      double total = 0, first = 0, second = 0;
      for (int k = -40000; k <= 40000; ++k) {
        const double x = to.alpha * x_0 + to.sigma * 12 * k / 40000.0;
        const double weight = normal_density(x_t, step.alpha_ratio * x, step.added_variance) *
                              normal_density(x, to.alpha * x_0, to.sigma * to.sigma);
        total += weight;
        first += weight * x;
        second += weight * x * x;
      }
      const double mean = first / total;
      CHECK(step.x_0_coefficient * x_0 + step.x_t_coefficient * x_t == doctest::Approx(mean).epsilon(1e-8));
      CHECK(step.posterior_variance == doctest::Approx(second / total - mean * mean).epsilon(1e-6));
      // The evidence is q(x_t | x_0): the two kernels together lead to the level that is noisier.
      CHECK(total * to.sigma * 12 / 40000.0 ==
            doctest::Approx(normal_density(x_t, from.alpha * x_0, from.sigma * from.sigma)).epsilon(1e-8));
    }
  }
}

TEST_CASE("levels that do not fall are refused with a sentence") {
  const NoiseLevel noisy{0.6, 0.8, 1}, clean{0.8, 0.6, 0.5}, data{1, 0, 0};
  CHECK_THROWS_AS(step_between(clean, noisy), Error);
  CHECK_THROWS_AS(step_between(clean, clean), Error);
  CHECK_THROWS_AS(step_between(data, data), Error);
  CHECK_THROWS_AS(step_between(noisy, {NAN, 0.1, 0}), Error);
  const auto refused = [](std::vector<NoiseLevel> levels) { CHECK_THROWS_AS(check_levels(levels), Error); };
  refused({noisy});
  refused({});
  refused({clean, noisy, data});
  refused({noisy, data, data});
  refused({{0, 1, 1}, data});
  CHECK_THROWS_WITH_AS(check_levels(std::vector{noisy}),
                       "check_levels: a sampler needs 2 levels of noise at least, not 1", Error);
}

}  // namespace haze
