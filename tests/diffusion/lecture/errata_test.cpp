#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/noise_schedule.h"

/// What the lecture's references 3 to 5 say of densities that are known, in one dimension and T = 3, and what
/// their misprints would change. The lines in between are in gaussian/lecture_derivations_test.cpp.
namespace haze {
namespace {

constexpr int kSteps = 3;
using Path = std::array<double, kSteps + 1>;  // x_0, x_1, x_2, x_3

const NoiseSchedule& schedule() {
  static const NoiseSchedule result = noise_schedule({0.1, 0.25, 0.4});
  return result;
}

double beta(int t) {
  return schedule().beta[static_cast<size_t>(t)];
}
double alpha(int t) {
  return schedule().alpha[static_cast<size_t>(t)];
}
double alpha_bar(int t) {
  return schedule().alpha_bar[static_cast<size_t>(t)];
}

double log_normal(double x, double mean, double variance) {
  return -0.5 * std::log(2 * M_PI * variance) - (x - mean) * (x - mean) / (2 * variance);
}

// ---- The forward process -----------------------------------------------------------------------

double log_q_step(const Path& x, int t) {  // log q(x_t | x_{t-1})
  return log_normal(x[t], std::sqrt(1 - beta(t)) * x[t - 1], beta(t));
}
double log_q_from_data(const Path& x, int t) {  // log q(x_t | x_0)
  return log_normal(x[t], std::sqrt(alpha_bar(t)) * x[0], 1 - alpha_bar(t));
}
double log_q_posterior(const Path& x, int t) {  // log q(x_{t-1} | x_t, x_0)
  const GaussianPosterior posterior = gaussian_posterior(schedule(), t);
  return log_normal(x[t - 1], posterior.x_0_coefficient * x[0] + posterior.x_t_coefficient * x[t],
                    posterior.variance);
}

// ---- A reverse process: p(x_{t-1} | x_t) = N(kSlope x_t + kShift, kVariance), p(x_T) = N(0, 1) --

constexpr double kSlope = 0.8, kShift = 0.1, kVariance = 0.3;

double log_p_step(const Path& x, int t) {
  return log_normal(x[t - 1], kSlope * x[t] + kShift, kVariance);
}
double log_p_start(const Path& x) {
  return log_normal(x[kSteps], 0, 1);
}
double log_p_path(const Path& x) {
  double sum = log_p_start(x);
  for (int t = 1; t <= kSteps; ++t) sum += log_p_step(x, t);
  return sum;
}

// Mean and covariance of x_0..x_T under p_theta, from the start on.
struct Joint {
  Path mean{};
  std::array<Path, kSteps + 1> covariance{};
};
Joint joint_of_p() {
  Joint joint;
  joint.covariance[kSteps][kSteps] = 1;
  for (int t = kSteps; t >= 1; --t) {
    joint.mean[t - 1] = kSlope * joint.mean[t] + kShift;
    for (int s = t; s <= kSteps; ++s)
      joint.covariance[t - 1][s] = joint.covariance[s][t - 1] = kSlope * joint.covariance[t][s];
    joint.covariance[t - 1][t - 1] = kSlope * kSlope * joint.covariance[t][t] + kVariance;
  }
  return joint;
}

double log_p_data(const Path& x) {
  const Joint joint = joint_of_p();
  return log_normal(x[0], joint.mean[0], joint.covariance[0][0]);
}

// log p_theta(x_1, x_2, x_3 | x_0), by conditioning the joint distribution and factoring its covariance.
double log_p_latents(const Path& x) {
  const Joint joint = joint_of_p();
  double factor[kSteps][kSteps] = {}, log_density = 0;
  std::array<double, kSteps> residual{};
  for (int i = 0; i < kSteps; ++i) {
    const auto conditional = [&](int a, int b) {
      return joint.covariance[a][b] -
             joint.covariance[a][0] * joint.covariance[0][b] / joint.covariance[0][0];
    };
    const double gain = joint.covariance[i + 1][0] / joint.covariance[0][0];
    residual[i] = x[i + 1] - joint.mean[i + 1] - gain * (x[0] - joint.mean[0]);
    for (int j = 0; j <= i; ++j) {  // Cholesky
      double rest = conditional(i + 1, j + 1);
      for (int k = 0; k < j; ++k) rest -= factor[i][k] * factor[j][k];
      factor[i][j] = i == j ? std::sqrt(rest) : rest / factor[j][j];
    }
    for (int k = 0; k < i; ++k) residual[i] -= factor[i][k] * residual[k];
    residual[i] /= factor[i][i];
    log_density += log_normal(residual[i], 0, 1) - std::log(factor[i][i]);
  }
  return log_density;
}

double log_q_latents(const Path& x) {
  double sum = 0;
  for (int t = 1; t <= kSteps; ++t) sum += log_q_step(x, t);
  return sum;
}

// Lines of reference 3 before the expectation is taken.
double line_4(const Path& x) {
  return -(log_p_path(x) - log_q_latents(x));
}
double line_12(const Path& x) {
  double sum = -(log_p_start(x) - log_q_from_data(x, kSteps));
  for (int t = 2; t <= kSteps; ++t) sum -= log_p_step(x, t) - log_q_posterior(x, t);
  return sum - log_p_step(x, 1);
}

const std::vector<Path> kPaths = {
    {0.3, -0.2, 1.1, 0.4}, {-1.7, -0.9, 0.2, 2.3}, {2.5, 2.2, 1.4, -0.6}, {0, 0, 0, 0}};

// E over q(x_1, x_2, x_3 | x_0), exact for quadratic functions: three points of Gauss and Hermite a step.
double expectation_of(const std::function<double(const Path&)>& f, double x_0) {
  const std::array<double, 3> nodes = {-std::sqrt(3.0), 0, std::sqrt(3.0)},
                              weights = {1 / 6.0, 2 / 3.0, 1 / 6.0};
  double sum = 0;
  for (int choice = 0; choice < 27; ++choice) {
    Path x{x_0};
    double weight = 1;
    for (int t = 1, rest = choice; t <= kSteps; ++t, rest /= 3) {
      x[t] = std::sqrt(1 - beta(t)) * x[t - 1] + std::sqrt(beta(t)) * nodes[rest % 3];
      weight *= weights[rest % 3];
    }
    sum += weight * f(x);
  }
  return sum;
}

}  // namespace

TEST_CASE(
    "reference 3: the density of the path over that of its latents is that of the data, lines 1 and 2") {
  for (const Path& x : kPaths) {
    const double line_1 = -(log_p_path(x) - log_p_latents(x));
    CHECK(line_1 == doctest::Approx(-log_p_data(x)).epsilon(1e-12));
  }
}

TEST_CASE("reference 3: line 3 lies above -log p by KL(q(x_1..x_T | x_0) || p(x_1..x_T | x_0))") {
  for (const double x_0 : {-1.5, 0.2, 2.0}) {
    const double bound = expectation_of(line_12, x_0), exact = -log_p_data({x_0});
    const double divergence =
        expectation_of([](const Path& x) { return log_q_latents(x) - log_p_latents(x); }, x_0);
    CHECK(divergence > 0.01);
    CHECK(bound - exact == doctest::Approx(divergence).epsilon(1e-12));
  }
}

TEST_CASE(
    "reference 3, the second page: with p(x_1..x_T | x_0) below, as printed, the bound would be exact") {
  for (const Path& x : kPaths) {
    CHECK(-(log_p_path(x) - log_p_latents(x)) == doctest::Approx(-log_p_data(x)).epsilon(1e-12));
    CHECK(std::abs(line_4(x) + log_p_data(x)) > 1e-3);  // with q below, as line 3 has it
  }
}

TEST_CASE("reference 4, the last two lines: with the printed denominators the mean is another") {
  const int t = 3;
  const GaussianPosterior posterior = gaussian_posterior(schedule(), t);
  const double numerator = std::sqrt(alpha(t)) * (1 - alpha_bar(t - 1));
  CHECK(posterior.x_t_coefficient == doctest::Approx(numerator / (1 - alpha_bar(t))).epsilon(1e-14));
  CHECK(std::abs(posterior.x_t_coefficient - numerator / (1 - alpha(t))) > 0.1);
  CHECK(std::abs(posterior.x_t_coefficient - numerator / (1 - alpha_bar(t - 1))) > 0.1);
}

TEST_CASE(
    "reference 5: mu_tilde by epsilon, its three lines; the first needs sqrt(alpha_t), not its product") {
  for (int t = 2; t <= kSteps; ++t) {
    const double x_0 = 0.7, epsilon = -1.2, noise = 1 - alpha_bar(t);
    const double x_t = std::sqrt(alpha_bar(t)) * x_0 + std::sqrt(noise) * epsilon;
    const GaussianPosterior posterior = gaussian_posterior(schedule(), t);
    const double mean = posterior.x_0_coefficient * x_0 + posterior.x_t_coefficient * x_t;
    const auto line_1 = [&](double root) {
      return std::sqrt(alpha_bar(t - 1)) * beta(t) / noise / std::sqrt(alpha_bar(t)) *
                 (x_t - std::sqrt(noise) * epsilon) +
             root * (1 - alpha_bar(t - 1)) / noise * x_t;
    };
    const double line_2 =
        (beta(t) / (noise * std::sqrt(alpha(t))) + std::sqrt(alpha(t)) * (1 - alpha_bar(t - 1)) / noise) *
            x_t -
        std::sqrt(noise) * beta(t) / (noise * std::sqrt(alpha(t))) * epsilon;
    const double line_3 = (x_t - beta(t) / std::sqrt(noise) * epsilon) / std::sqrt(alpha(t));
    CHECK(line_1(std::sqrt(alpha(t))) == doctest::Approx(mean).epsilon(1e-12));
    CHECK(line_2 == doctest::Approx(mean).epsilon(1e-12));
    CHECK(line_3 == doctest::Approx(mean).epsilon(1e-12));
    CHECK(std::abs(line_1(std::sqrt(alpha_bar(t))) - mean) > 1e-3);  // as printed
    // Page "Objective for DDPM" divides x_t alone by the root.
    CHECK(std::abs(x_t / std::sqrt(1 - beta(t)) - beta(t) / std::sqrt(noise) * epsilon - mean) > 1e-3);
  }
}

}  // namespace haze
