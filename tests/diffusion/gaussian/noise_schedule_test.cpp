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

// Field values of Diffusion-LM's released tables (issue 51 of its repository prints the first).
TEST_CASE("the sqrt schedule has the published betas, alpha_bars and standard deviations for T = 2000") {
  const NoiseSchedule schedule = sqrt_noise_schedule(2000);
  const auto holds = [](const std::vector<double>& table, size_t first, std::vector<double> expected) {
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(table[first + i] == doctest::Approx(expected[i]).epsilon(1e-7));
  };
  holds(schedule.beta, 1, {0.01464131, 0.00888909, 0.00706818});
  holds(schedule.beta, 1998, {0.35722328, 0.55561113, 0.999});
  holds(schedule.alpha_bar, 1, {0.98535869, 0.97659975, 0.96969697});
  holds(schedule.alpha_bar, 1998, {4.5464777e-4, 2.0204041e-4, 2.0204041e-7});
  CHECK(std::sqrt(schedule.noise[1]) == doctest::Approx(0.12100128).epsilon(1e-7));
  CHECK(std::sqrt(schedule.noise[2]) == doctest::Approx(0.15297140).epsilon(1e-7));
  CHECK(std::sqrt(schedule.noise[3]) == doctest::Approx(0.17407766).epsilon(1e-7));
  CHECK(std::sqrt(schedule.alpha_bar[2000]) == doctest::Approx(4.49489e-4).epsilon(1e-6));
  CHECK(gaussian_posterior(schedule, 2).variance == doctest::Approx(0.0055618163).epsilon(1e-8));
  CHECK(std::log(gaussian_posterior(schedule, 2).variance) == doctest::Approx(-5.191831).epsilon(1e-6));
  CHECK(std::log(schedule.beta[2]) == doctest::Approx(-4.722931).epsilon(1e-6));
}

TEST_CASE("the sqrt schedule has the published values for T = 200, whose clean end is twice as noisy") {
  const NoiseSchedule schedule = sqrt_noise_schedule(200);
  const double beta[] = {0.06203463, 0.03132126, 0.02488412}, last[] = {0.33640828, 0.50567226, 0.999};
  const double alpha_bar[] = {0.93796537, 0.90858711, 0.88597772};
  for (size_t i = 0; i < 3; ++i) {
    CHECK(schedule.beta[1 + i] == doctest::Approx(beta[i]).epsilon(2e-7));
    CHECK(schedule.beta[198 + i] == doctest::Approx(last[i]).epsilon(1e-7));
    CHECK(schedule.alpha_bar[1 + i] == doctest::Approx(alpha_bar[i]).epsilon(1e-7));
  }
  CHECK(schedule.alpha_bar[200] == doctest::Approx(2.4777865e-6).epsilon(1e-7));
  CHECK(std::sqrt(schedule.noise[1]) == doctest::Approx(0.24906752).epsilon(1e-7));
  CHECK(std::sqrt(schedule.noise[1] / sqrt_noise_schedule(2000).noise[1]) > 2);
}

TEST_CASE("alpha_bar of the sqrt and the cosine schedule is its closed form but for the clipped steps") {
  for (int steps : {200, 2000}) {
    const NoiseSchedule root = sqrt_noise_schedule(steps), cosine = cosine_noise_schedule(steps);
    const auto f = [&](double t) {
      const double c = std::cos((t / steps + 0.008) / 1.008 * M_PI / 2);
      return c * c;
    };
    for (int t = 1; t < steps; ++t) {
      const auto i = static_cast<size_t>(t);
      CHECK(std::abs(root.alpha_bar[i] - (1 - std::sqrt(static_cast<double>(t) / steps + 1e-4)) / 0.99) <
            4e-15);
      CHECK(std::abs(cosine.alpha_bar[i] - f(t) / f(0)) < 4e-15);
    }
    // The last step would take more than all.
    CHECK(1 - (1 - std::sqrt(1 + 1e-4)) / (1 - std::sqrt(1 - 1.0 / steps + 1e-4)) ==
          doctest::Approx(steps == 2000 ? 1.249969 : 1.020383).epsilon(1e-6));
    CHECK(root.beta.back() == 0.999);
    CHECK(cosine.beta.back() == 0.999);
  }
}

TEST_CASE("schedules are chosen by name, and another name is refused") {
  CHECK(noise_schedule_names() == std::vector<std::string>{"linear", "cosine", "sqrt"});
  CHECK(noise_schedule_called("linear", 50).beta == linear_noise_schedule(50).beta);
  CHECK(noise_schedule_called("cosine", 50).beta == cosine_noise_schedule(50).beta);
  CHECK(noise_schedule_called("sqrt", 50).beta == sqrt_noise_schedule(50).beta);
  CHECK_THROWS_WITH_AS(noise_schedule_called("quadratic", 50),
                       "there is no noise schedule 'quadratic'; there are linear, cosine and sqrt", Error);
}

TEST_CASE("alpha_bar and the noise's variance are products in long double, to 13 digits") {
  for (const auto& [name, steps] :
       {std::pair{"linear", 2}, {"linear", 200}, {"linear", 1000}, {"cosine", 1000}, {"sqrt", 2000}}) {
    const NoiseSchedule schedule = noise_schedule_called(name, steps);
    long double alpha_bar = 1, noise = 0;
    for (size_t t = 1; t <= static_cast<size_t>(steps); ++t) {
      const long double beta = schedule.beta[t];
      alpha_bar *= 1 - beta;
      noise = (1 - beta) * noise + beta;
      CHECK(schedule.alpha[t] == 1 - schedule.beta[t]);
      CHECK(schedule.alpha_bar[t] == doctest::Approx(static_cast<double>(alpha_bar)).epsilon(1e-13));
      CHECK(std::abs(schedule.noise[t] / static_cast<double>(noise) - 1) < 1e-13);
      CHECK(std::abs(std::sqrt(static_cast<float>(schedule.noise[t])) / std::sqrt(schedule.noise[t]) - 1) <
            1e-6);
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
  CHECK_THROWS_AS(cosine_noise_schedule(1), Error);
  CHECK_THROWS_AS(sqrt_noise_schedule(0), Error);
  CHECK_THROWS_AS(noise_schedule({}), Error);
  CHECK_THROWS_WITH_AS(noise_schedule({0.5, 1}), "noise_schedule: beta 1 is not in (0, 1)", Error);
  CHECK_THROWS_AS(noise_schedule({0}), Error);
  CHECK_THROWS_AS(gaussian_posterior(linear_noise_schedule(5), 6), Error);
  CHECK_THROWS_AS(gaussian_posterior(linear_noise_schedule(5), 0), Error);
}

}  // namespace haze
