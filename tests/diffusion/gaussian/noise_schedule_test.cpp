#include "haze/diffusion/gaussian/noise_schedule.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

double normal_density(double x, double mean, double variance) {
  return std::exp(-(x - mean) * (x - mean) / (2 * variance)) / std::sqrt(2 * M_PI * variance);
}

}  // namespace

TEST_CASE("the linear schedule is the paper's for 1000 steps, scaled and clipped for others") {
  const NoiseSchedule paper = linear_noise_schedule(1000);
  CHECK(paper.steps() == 1000);
  CHECK(paper.beta[1] == doctest::Approx(1e-4).epsilon(1e-14));
  CHECK(paper.beta[500] == doctest::Approx(1e-4 + (0.02 - 1e-4) * 499 / 999).epsilon(1e-14));
  CHECK(paper.beta[1000] == doctest::Approx(0.02).epsilon(1e-14));
  const NoiseSchedule short_one = linear_noise_schedule(200);
  CHECK(short_one.beta[1] == doctest::Approx(5e-4).epsilon(1e-14));
  CHECK(short_one.beta[200] == doctest::Approx(0.1).epsilon(1e-14));
  CHECK(linear_noise_schedule(10).beta[10] == 0.999);
}

TEST_CASE("alpha_bar and the noise's variance are products in long double, to 13 digits") {
  for (int steps : {2, 200, 1000}) {
    const NoiseSchedule schedule = linear_noise_schedule(steps);
    long double alpha_bar = 1, noise = 0;
    for (size_t t = 1; t <= static_cast<size_t>(steps); ++t) {
      const long double beta = schedule.beta[t];
      alpha_bar *= 1 - beta;
      noise = (1 - beta) * noise + beta;
      CHECK(schedule.alpha[t] == 1 - schedule.beta[t]);
      CHECK(schedule.alpha_bar[t] == doctest::Approx(static_cast<double>(alpha_bar)).epsilon(1e-13));
      CHECK(std::abs(schedule.noise[t] / static_cast<double>(noise) - 1) < 1e-13);
    }
  }
}

TEST_CASE("q(x_t | x_0) is what the one-step kernels q(x_t | x_{t-1}) make, one after another, on a grid") {
  const NoiseSchedule schedule = noise_schedule({0.1, 0.25, 0.4});
  constexpr int kPoints = 1201;
  constexpr double kStep = 0.01, kStart = 0.8;
  const auto place = [](int i) { return (i - kPoints / 2) * kStep; };
  std::vector<double> density(kPoints);
  for (int i = 0; i < kPoints; ++i)
    density[static_cast<size_t>(i)] =
        normal_density(place(i), std::sqrt(1 - schedule.beta[1]) * kStart, schedule.beta[1]);
  for (size_t t = 2; t <= 3; ++t) {
    std::vector<double> next(kPoints);
    for (int i = 0; i < kPoints; ++i) {
      for (int j = 0; j < kPoints; ++j) {
        next[static_cast<size_t>(i)] +=
            kStep * density[static_cast<size_t>(j)] *
            normal_density(place(i), std::sqrt(1 - schedule.beta[t]) * place(j), schedule.beta[t]);
      }
    }
    density = next;
    for (int i = 0; i < kPoints; ++i) {
      const double expected =
          normal_density(place(i), std::sqrt(schedule.alpha_bar[t]) * kStart, schedule.noise[t]);
      CHECK(std::abs(density[static_cast<size_t>(i)] - expected) < 1e-9);
    }
  }
}

TEST_CASE("the posterior's mean and variance are those of Bayes' rule on a grid") {
  const NoiseSchedule schedule = linear_noise_schedule(50);
  for (int t : {2, 3, 25, 50}) {
    for (const auto& [x_0, x_t] : {std::pair{0.7, 0.6}, std::pair{-1.3, -1.1}}) {
      const auto i = static_cast<size_t>(t);
      double total = 0, first = 0, second = 0;
      const double spread = std::sqrt(schedule.noise[i - 1]);
      const double centre = std::sqrt(schedule.alpha_bar[i - 1]) * x_0;
      for (int k = -40000; k <= 40000; ++k) {
        const double x = centre + spread * 12 * k / 40000.0;  // x_{t-1}, within 12 standard deviations
        const double weight = normal_density(x_t, std::sqrt(schedule.alpha[i]) * x, schedule.beta[i]) *
                              normal_density(x, centre, schedule.noise[i - 1]);
        total += weight;
        first += weight * x;
        second += weight * x * x;
      }
      const GaussianPosterior posterior = gaussian_posterior(schedule, t);
      const double mean = first / total;
      CHECK(posterior.x_0_coefficient * x_0 + posterior.x_t_coefficient * x_t ==
            doctest::Approx(mean).epsilon(1e-8));
      CHECK(posterior.variance == doctest::Approx(second / total - mean * mean).epsilon(1e-6));
    }
  }
}

TEST_CASE(
    "without noise on the way the posterior's mean is on the way, which the lecture's misprint is not") {
  const NoiseSchedule schedule = linear_noise_schedule(100);
  for (int t = 1; t <= 100; ++t) {
    const auto i = static_cast<size_t>(t);
    const GaussianPosterior posterior = gaussian_posterior(schedule, t);
    const double on_the_way = std::sqrt(schedule.alpha_bar[i - 1]), later = std::sqrt(schedule.alpha_bar[i]);
    CHECK(posterior.x_0_coefficient + posterior.x_t_coefficient * later ==
          doctest::Approx(on_the_way).epsilon(1e-12));
    // sqrt(alpha_t) (1 - alpha_bar_t) / (1 - alpha_bar_t), with t where t - 1 belongs.
    const double misprint = std::sqrt(schedule.alpha[i]);
    if (t <= 50) CHECK(posterior.x_0_coefficient + misprint * later > 1.005 * on_the_way);
  }
  CHECK(gaussian_posterior(schedule, 1).variance == 0);
  CHECK(gaussian_posterior(schedule, 1).x_0_coefficient == doctest::Approx(1).epsilon(1e-15));
}

TEST_CASE("schedules say what is wrong") {
  CHECK_THROWS_WITH_AS(linear_noise_schedule(1), "linear_noise_schedule: 1 steps; at least 2 are needed",
                       Error);
  CHECK_THROWS_AS(noise_schedule({}), Error);
  CHECK_THROWS_WITH_AS(noise_schedule({0.5, 1}), "noise_schedule: beta 1 is not in (0, 1)", Error);
  CHECK_THROWS_AS(noise_schedule({0}), Error);
  CHECK_THROWS_AS(gaussian_posterior(linear_noise_schedule(5), 6), Error);
  CHECK_THROWS_AS(gaussian_posterior(linear_noise_schedule(5), 0), Error);
}

}  // namespace haze
