#include "haze/diffusion/gaussian/ancestral_sampler.h"

#include <cmath>

#include <doctest/doctest.h>

#include "diffusion/gaussian/gaussian_data.h"

namespace haze {
namespace {

using namespace diffusion_test;

TestedSampler ancestral(ReverseVariance variance) {
  return [=](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
             const NoiseSource& noise) { return ancestral_sample(denoise, levels, variance, x, noise); };
}

/// The denoiser, with v = `share` of the learned variance.
GaussianDenoiser with_share(GaussianDenoiser denoise, double share) {
  return [=](const Tensor& x, const NoiseLevel& level) {
    Denoised denoised = denoise(x, level);
    denoised.variance_share = full(x.shape(), share, x.dtype());
    return denoised;
  };
}

/// The chain of Ho et al. 2020 in its own letters: mu_theta = (x_t + beta_t score(x_t)) / sqrt(alpha_t),
/// whose score is -(x_t - mean) / variance. variance_of: that of the reverse step, from beta_t and
/// beta_tilde_t.
Moments ho_chain(const GaussianData& data, const NoiseSchedule& schedule,
                 const std::function<double(double beta, double posterior)>& variance_of) {
  return chain_moments(data, std::sqrt(schedule.alpha_bar.back()), [&](double d) {
    double gain = 1, added = 0;
    for (auto t = static_cast<size_t>(schedule.steps()); t >= 1; --t) {
      const double total = schedule.alpha_bar[t] * d + schedule.noise[t];
      const double factor = (1 - schedule.beta[t] / total) / std::sqrt(schedule.alpha[t]);
      const double posterior = schedule.beta[t] * schedule.noise[t - 1] / schedule.noise[t];
      gain *= factor;
      added = factor * factor * added + (t > 1 ? variance_of(schedule.beta[t], posterior) : 0);
    }
    return std::pair{gain, added};
  });
}

double small_variance(double, double posterior) {
  return posterior;
}
double large_variance(double beta, double) {
  return beta;
}

}  // namespace

TEST_CASE("ancestral sampling of Gaussian data has the mean and covariance of its chain, to 1e-11") {
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (int steps : {10, 200}) {
      const NoiseSchedule schedule = linear_noise_schedule(steps);
      const auto sampled = [&](ReverseVariance variance, const GaussianDenoiser& denoise) {
        const AffineMap map =
            affine_map(ancestral(variance), denoise, strided_levels(schedule, steps), data.dimension());
        CHECK(map.draws == static_cast<size_t>(steps - 1));  // none in the step to data
        return map(standard_normal(data.dimension()));
      };
      const GaussianDenoiser denoise = optimal_denoiser(data);
      CHECK(largest_difference(sampled(ReverseVariance::small, denoise),
                               ho_chain(data, schedule, small_variance)) < 1e-11);
      CHECK(largest_difference(sampled(ReverseVariance::large, denoise),
                               ho_chain(data, schedule, large_variance)) < 1e-11);
      for (double v : {0.0, 0.3, 1.0}) {
        const auto learned = [v](double beta, double posterior) {
          return std::pow(beta, v) * std::pow(posterior, 1 - v);
        };
        CHECK(largest_difference(sampled(ReverseVariance::learned, with_share(denoise, v)),
                                 ho_chain(data, schedule, learned)) < 1e-11);
      }
    }
  }
}

TEST_CASE("strided ancestral sampling is the chain of a schedule of the steps kept") {
  const GaussianData data = plane_data();
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  std::vector<double> beta;
  std::vector<int> steps = strided_steps(1000, 20);
  steps.push_back(0);
  for (size_t i = steps.size() - 1; i-- > 0;)
    beta.push_back(1 - schedule.alpha_bar[static_cast<size_t>(steps[i])] /
                           schedule.alpha_bar[static_cast<size_t>(steps[i + 1])]);
  const AffineMap map =
      affine_map(ancestral(ReverseVariance::large), optimal_denoiser(data), strided_levels(schedule, 20), 2);
  CHECK(largest_difference(map(standard_normal(2)), ho_chain(data, noise_schedule(beta), large_variance)) <
        1e-11);
}

TEST_CASE("with more and more steps, mean and covariance become those of the data") {
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (ReverseVariance variance : {ReverseVariance::small, ReverseVariance::large}) {
      const auto gap = [&](int steps) {
        const AffineMap map =
            affine_map(ancestral(variance), optimal_denoiser(data),
                       strided_levels(linear_noise_schedule(steps), steps), data.dimension());
        return largest_difference(map(standard_normal(data.dimension())), {data.mean, data.covariance()});
      };
      const double few = gap(30), many = gap(120), most = gap(480);
      CHECK(many < 0.4 * few);
      CHECK(most < 0.4 * many);
      CHECK(most < 0.02);
    }
  }
}

TEST_CASE("ancestral sampling is of first order: half the step, half the error of mean and covariance") {
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (ReverseVariance variance : {ReverseVariance::small, ReverseVariance::large}) {
      for (const auto& levels : {even_log_snr_levels, even_angle_levels}) {
        const double ratio = moment_error(ancestral(variance), data, levels(100)) /
                             moment_error(ancestral(variance), data, levels(200));
        CHECK(ratio > 1.8);
        CHECK(ratio < 2.2);
      }
    }
  }
}

TEST_CASE("the observer sees every level, from the start to the data, and may break off") {
  const Levels levels = strided_levels(linear_noise_schedule(50), 5);
  Generator generator(1);
  const Tensor start = normal({3, 2}, generator, 0, 1, Dtype::float64);
  const auto sample = [&](const LevelObserver& observer) {
    Generator own(2);
    return ancestral_sample(optimal_denoiser(plane_data()), levels, ReverseVariance::large, start,
                            example_noise(3, own), observer);
  };
  std::vector<Tensor> seen;
  const Tensor result = sample([&](size_t i, const Tensor& x) {
    CHECK(i == seen.size());
    seen.push_back(x);
  });
  REQUIRE(seen.size() == levels.size());
  CHECK(seen.front().to_vector<double>() == start.to_vector<double>());
  CHECK(seen.back().to_vector<double>() == result.to_vector<double>());
  CHECK_THROWS_WITH_AS(sample([](size_t i, const Tensor&) {
                         if (i == 2) fail("enough");
                       }),
                       "enough", Error);
}

TEST_CASE("a learned variance that the denoiser does not learn is refused") {
  const Levels levels = strided_levels(linear_noise_schedule(50), 5);
  Generator generator(1);
  CHECK_THROWS_WITH_AS(ancestral_sample(optimal_denoiser(plane_data()), levels, ReverseVariance::learned,
                                        zeros({3, 2}, Dtype::float64), example_noise(3, generator)),
                       "reverse_step: the denoiser learns no variance", Error);
}

}  // namespace haze
