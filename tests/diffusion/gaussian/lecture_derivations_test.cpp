#include <cmath>

#include <doctest/doctest.h>

#include "diffusion/gaussian/ddpm_gaussian.h"

/// The derivations of the lecture's reference pages, each line against the one before. Densities and
/// coefficients are written out as on the page; the program's tables fill them in.
namespace haze {
namespace {

using namespace diffusion_test;

double log_normal(double x, double mean, double variance) {
  return -0.5 * std::log(2 * M_PI * variance) - (x - mean) * (x - mean) / (2 * variance);
}

const NoiseSchedule& schedule() {
  static const NoiseSchedule result = linear_noise_schedule(20);
  return result;
}

double alpha(int t) {
  return schedule().alpha[static_cast<size_t>(t)];
}
double alpha_bar(int t) {
  return schedule().alpha_bar[static_cast<size_t>(t)];
}
double beta(int t) {
  return schedule().beta[static_cast<size_t>(t)];
}

// A path x_0..x_T, drawn from q step by step with the program's own one-step kernel.
std::vector<double> path(uint64_t seed) {
  Generator generator(seed);
  Tensor x = normal({1, 1}, generator, 0, 1, Dtype::float64);
  std::vector<double> result = {x.item()};
  for (int t = 1; t <= schedule().steps(); ++t) {
    x = add_one_step(schedule(), x, t, generator);
    result.push_back(x.item());
  }
  return result;
}

}  // namespace

TEST_CASE(
    "reference 1: two steps merge into one, sqrt(1 - a_t + a_t (1 - a_{t-1})) = sqrt(1 - a_t a_{t-1})") {
  for (int t = 2; t <= schedule().steps(); ++t) {
    CHECK(std::sqrt((1 - alpha(t)) + alpha(t) * (1 - alpha(t - 1))) ==
          doctest::Approx(std::sqrt(1 - alpha(t) * alpha(t - 1))).epsilon(1e-14));
    CHECK(alpha(t) * (1 - alpha_bar(t - 1)) + beta(t) == doctest::Approx(1 - alpha_bar(t)).epsilon(1e-14));
  }
}

TEST_CASE(
    "reference 1: steps drawn one at a time have the mean and variance of q(x_t | x_0) (4 standard errors)") {
  Generator generator(1);
  Tensor x = full({40000, 1}, 1.5, Dtype::float64);
  for (int t = 1; t <= schedule().steps(); ++t) x = add_one_step(schedule(), x, t, generator);
  const double mean = 1.5 * std::sqrt(alpha_bar(20));
  std::vector<double> x_T = x.to_vector<double>();
  CHECK(means_agree(x_T, mean));
  for (double& value : x_T) value = (value - mean) * (value - mean);
  CHECK(means_agree(x_T, 1 - alpha_bar(20)));
  CHECK_THROWS_WITH_AS(add_one_step(schedule(), x, 21, generator), "add_one_step: t 21 is not in 1..20",
                       Error);
  CHECK_THROWS_AS(add_one_step(schedule(), x, 0, generator), Error);
}

TEST_CASE("reference 3: lines 5 to 12 of the bound are the same number for each path, whatever p_theta") {
  const int T = schedule().steps();
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const std::vector<double> drawn = path(seed);
    const auto x = [&](int t) { return drawn[static_cast<size_t>(t)]; };
    const auto q_step = [&](int t) { return log_normal(x(t), std::sqrt(1 - beta(t)) * x(t - 1), beta(t)); };
    const auto q_from_0 = [&](int t) {
      return log_normal(x(t), std::sqrt(alpha_bar(t)) * x(0), 1 - alpha_bar(t));
    };
    const auto q_back = [&](int t) {
      const GaussianPosterior p = gaussian_posterior(schedule(), t);
      return log_normal(x(t - 1), p.x_0_coefficient * x(0) + p.x_t_coefficient * x(t), p.variance);
    };
    const auto p_back = [&](int t) { return log_normal(x(t - 1), std::sin(x(t)) + 0.1 * t, 0.3 + 0.01 * t); };
    const double p_T = log_normal(x(T), 0, 1);
    double joint_p = p_T, joint_q = 0, line_6 = -p_T, line_8 = -p_T, line_9 = -p_T, line_10 = -p_T,
           line_12 = -(p_T - q_from_0(T)) - p_back(1), marginals = 0, posteriors = 0;
    for (int t = 1; t <= T; ++t) {
      joint_p += p_back(t);
      joint_q += q_step(t);
      line_6 -= p_back(t) - q_step(t);
    }
    for (int t = 2; t <= T; ++t) {
      // *: Bayes' rule, q(x_t | x_{t-1}) = q(x_{t-1} | x_t, x_0) q(x_t | x_0) / q(x_{t-1} | x_0)
      CHECK(q_step(t) == doctest::Approx(q_back(t) + q_from_0(t) - q_from_0(t - 1)).epsilon(1e-9));
      line_8 -= p_back(t) - q_step(t);
      line_9 -= p_back(t) - q_back(t) + q_from_0(t - 1) - q_from_0(t);
      posteriors -= p_back(t) - q_back(t);
      marginals -= q_from_0(t - 1) - q_from_0(t);
    }
    const double last = p_back(1) - q_from_0(1);
    line_8 -= p_back(1) - q_step(1);
    line_9 -= last;
    line_10 += posteriors + marginals - last;
    const double line_11 = -p_T + posteriors - (q_from_0(1) - q_from_0(T)) - last;
    line_12 += posteriors;
    for (double line : {line_6, line_8, line_9, line_10, line_11, line_12})
      CHECK(line == doctest::Approx(joint_q - joint_p).epsilon(1e-9));
  }
}

TEST_CASE("reference 4: completing the square gives the posterior's mean and variance") {
  for (int t = 2; t <= schedule().steps(); ++t) {
    // -(1/2) (square x_{t-1}^2 - 2 linear x_{t-1}) + C, line 2 of the page
    const double x_0 = 0.4, x_t = -0.9;
    const double square = 1 / (1 - alpha_bar(t - 1)) + (1 - beta(t)) / beta(t);
    const double linear =
        std::sqrt(1 - beta(t)) / beta(t) * x_t + std::sqrt(alpha_bar(t - 1)) / (1 - alpha_bar(t - 1)) * x_0;
    const GaussianPosterior posterior = gaussian_posterior(schedule(), t);
    CHECK(posterior.variance == doctest::Approx(1 / square).epsilon(1e-12));
    CHECK(posterior.x_0_coefficient * x_0 + posterior.x_t_coefficient * x_t ==
          doctest::Approx(linear / square).epsilon(1e-12));
  }
}

TEST_CASE(
    "reference 5: mu_tilde from x_0 and x_t is (x_t - beta_t / sqrt(1 - alpha_bar_t) epsilon) / "
    "sqrt(alpha_t)") {
  for (int t = 1; t <= schedule().steps(); ++t) {
    const double x_0 = 0.4, epsilon = -1.3;
    const double x_t = std::sqrt(alpha_bar(t)) * x_0 + std::sqrt(1 - alpha_bar(t)) * epsilon;
    const GaussianPosterior posterior = gaussian_posterior(schedule(), t);
    CHECK(posterior.x_0_coefficient * x_0 + posterior.x_t_coefficient * x_t ==
          doctest::Approx((x_t - beta(t) / std::sqrt(1 - alpha_bar(t)) * epsilon) / std::sqrt(alpha(t)))
              .epsilon(1e-12));
  }
}

TEST_CASE("page of L_{t-1}: the KL of two Gaussians is the integral of log(p / q) p, on a grid") {
  for (const auto& [mean, deviation] : {std::pair{0.3, 0.5}, {-1.0, 1.4}}) {
    double integral = 0;
    for (int k = -40000; k <= 40000; ++k) {
      const double x = 0.2 + 0.7 * 12 * k / 40000.0, p = log_normal(x, 0.2, 0.49);
      integral += 0.7 * 12 / 40000.0 * std::exp(p) * (p - log_normal(x, mean, deviation * deviation));
    }
    CHECK(gaussian_kl(0.2, 0.49, mean, deviation * deviation) == doctest::Approx(integral).epsilon(1e-8));
  }
}

TEST_CASE("Algorithm 2, line 4: each step of sampling is the lecture's, and t = 1 adds no noise") {
  for (const ReverseVariance kind : {ReverseVariance::small, ReverseVariance::large}) {
    const GaussianDiffusion diffusion{.schedule = schedule(), .variance = kind};
    const DdpmNetwork network = [](const Tensor& x_t, const Tensor& t) -> DdpmPrediction {
      return {unary(UnaryOp::sin, add(x_t, cast(t, x_t.dtype()))), {}};
    };
    Generator generator(3);
    std::vector<Tensor> drawn;
    const NoiseSource noise = [&](const Shape& shape, Dtype dtype) {
      return drawn.emplace_back(normal(shape, generator, 0, 1, dtype));
    };
    const std::vector<NoiseLevel> levels = strided_levels(schedule(), schedule().steps());
    const Tensor x_T = full({1, 1}, 0.8, Dtype::float64);
    const double result =
        ancestral_sample(ddpm_denoiser(network, diffusion), levels, kind, x_T, noise).item();
    REQUIRE(drawn.size() == 19);
    double x = 0.8;                                                            // line 1
    for (int t = 20; t >= 1; --t) {                                            // line 2
      const double z = t > 1 ? drawn[static_cast<size_t>(20 - t)].item() : 0;  // line 3
      const double sigma = std::sqrt(reverse_variance(schedule(), kind, t));
      x = 1 / std::sqrt(alpha(t)) * (x - (1 - alpha(t)) / std::sqrt(1 - alpha_bar(t)) * std::sin(x + t)) +
          sigma * z;  // line 4
    }
    CHECK(result == doctest::Approx(x).epsilon(1e-10));
  }
}

}  // namespace haze
