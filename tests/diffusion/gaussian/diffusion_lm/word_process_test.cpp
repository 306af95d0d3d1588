#include "haze/diffusion/gaussian/diffusion_lm/word_process.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/ddpm.h"

namespace haze {

TEST_CASE("the level of x_t has the mean and variance of the steps one after another, from q(x_0 | w) on") {
  const WordProcess process = word_process(sqrt_noise_schedule(50));
  CHECK(process.sigma_0 == doctest::Approx(std::sqrt(1 - process.schedule.alpha_bar[1])));
  double mean = 1, variance = process.sigma_0 * process.sigma_0;
  for (int t = 0; t <= 50; ++t) {
    if (t > 0) {
      const double beta = process.schedule.beta[static_cast<size_t>(t)];
      mean *= std::sqrt(1 - beta);
      variance = (1 - beta) * variance + beta;
    }
    const NoiseLevel level = word_level(process, t);
    CHECK(level.alpha == doctest::Approx(mean).epsilon(1e-12));
    CHECK(level.sigma * level.sigma == doctest::Approx(variance).epsilon(1e-12));
    CHECK(level.time == doctest::Approx(t / 50.0));
  }
}

TEST_CASE("sigma_0 of the paper's 2000 steps is 0.1210, and the conversion of levels goes there and back") {
  const WordProcess process = word_process(sqrt_noise_schedule(2000));
  CHECK(process.sigma_0 == doctest::Approx(0.12100128).epsilon(1e-7));
  for (const int t : {1, 2, 100, 1999, 2000}) {
    const NoiseLevel level = noise_level(process.schedule, t);
    const NoiseLevel back = from_word_level(process, to_word_level(process, level));
    CHECK(back.sigma == doctest::Approx(level.sigma).epsilon(1e-12));
    CHECK(back.alpha == level.alpha);
    CHECK(back.time == level.time);
  }
}

TEST_CASE("the small reverse step of an embedding is DDPM's posterior with x_0 integrated out") {
  const WordProcess process = word_process(sqrt_noise_schedule(20));
  for (int t = 1; t <= 20; ++t) {
    const GaussianPosterior posterior = gaussian_posterior(process.schedule, t);
    const NoiseLevel level = noise_level(process.schedule, t);
    // x_0 given x_t and w: the prior N(EMB, sigma_0^2) and the observation x_t = alpha x_0 + sigma epsilon.
    const double prior = 1 / (process.sigma_0 * process.sigma_0);
    const double observed = level.alpha * level.alpha / (level.sigma * level.sigma);
    const double of_embedding = prior / (prior + observed);
    const double of_x_t = level.alpha / (level.sigma * level.sigma) / (prior + observed);
    const double c = posterior.x_0_coefficient;
    const WordReverseStep step =
        word_reverse_step(process, WordEstimate::embedding, ReverseVariance::small, t);
    CHECK(step.estimate_coefficient == doctest::Approx(c * of_embedding).epsilon(1e-9));
    CHECK(step.x_t_coefficient == doctest::Approx(posterior.x_t_coefficient + c * of_x_t).epsilon(1e-9));
    CHECK(step.variance == doctest::Approx(posterior.variance + c * c / (prior + observed)).epsilon(1e-9));
    const WordReverseStep large =
        word_reverse_step(process, WordEstimate::embedding, ReverseVariance::large, t);
    CHECK(large.variance == doctest::Approx(process.schedule.beta[static_cast<size_t>(t)]).epsilon(1e-9));
  }
}

TEST_CASE("the reverse step of an estimate of x_0 is DDPM's, and at t = 1 the estimate itself") {
  const WordProcess process = word_process(sqrt_noise_schedule(20));
  const WordReverseStep first = word_reverse_step(process, WordEstimate::x_0, ReverseVariance::large, 1);
  CHECK(first.estimate_coefficient == doctest::Approx(1));
  CHECK(first.x_t_coefficient == 0);
  CHECK(first.variance == doctest::Approx(process.sigma_0 * process.sigma_0));
  CHECK_THROWS_WITH(word_reverse_step(process, WordEstimate::x_0, ReverseVariance::learned, 1),
                    "word_reverse_step: the variance is a fixed one");
}

TEST_CASE("numbers of sequences are repeated for their rows") {
  const std::vector<int64_t> lengths{2, 1};
  const Tensor rows = for_rows(Sequences::of_lengths(lengths), {0.5, 3}, Dtype::float64);
  CHECK(rows.shape() == Shape{3, 1});
  CHECK(rows.to_vector<double>() == std::vector<double>{0.5, 0.5, 3});
}

}  // namespace haze
