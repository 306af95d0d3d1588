#include "haze/diffusion/gaussian/ddim_sampler.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/ancestral_sampler.h"

#include "diffusion/gaussian/gaussian_data.h"

namespace haze {
namespace {

using namespace diffusion_test;

TestedSampler ddim(double eta) {
  return [=](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
             const NoiseSource& noise) { return ddim_sample(denoise, levels, eta, x, noise); };
}

const NoiseSource kNoNoise = [](const Shape&, Dtype) -> Tensor { fail("a number was drawn"); };

/// Equations 12 and 16 along one axis, in the schedule's letters: the factor of x_t - sqrt(alpha_bar_t) mean.
Moments ddim_chain(const GaussianData& data, const NoiseSchedule& schedule, const std::vector<int>& steps,
                   double eta) {
  return chain_moments(data, std::sqrt(schedule.alpha_bar.back()), [&](double d) {
    double gain = 1, added = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      const double now = schedule.alpha_bar[static_cast<size_t>(steps[i])];
      const double next = i + 1 < steps.size() ? schedule.alpha_bar[static_cast<size_t>(steps[i + 1])] : 1;
      const double variance = eta * eta * (1 - next) / (1 - now) * (1 - now / next);
      const double factor =
          (std::sqrt(next * now) * d + std::sqrt((1 - next - variance) * (1 - now))) / (now * d + 1 - now);
      gain *= factor;
      added = factor * factor * added + variance;
    }
    return std::pair{gain, added};
  });
}

}  // namespace

TEST_CASE(
    "DDIM of Gaussian data has the mean and covariance of equations 12 and 16, to 1e-11, at any stride") {
  const NoiseSchedule schedule = linear_noise_schedule(200);
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (int count : {1, 2, 20, 200}) {
      for (double eta : {0.0, 0.5, 1.0}) {
        const AffineMap map =
            affine_map(ddim(eta), optimal_denoiser(data), strided_levels(schedule, count), data.dimension());
        CHECK(map.draws == static_cast<size_t>(eta > 0 ? count - 1 : 0));
        CHECK(largest_difference(map(standard_normal(data.dimension())),
                                 ddim_chain(data, schedule, strided_steps(200, count), eta)) < 1e-11);
      }
    }
  }
}

TEST_CASE("DDIM with eta = 1 is the ancestral sampler with the small variance, number for number") {
  Generator generator(1);
  const Tensor x = normal({50, 2}, generator, 0, 1, Dtype::float64);
  const GaussianDenoiser any = [](const Tensor& noisy, const NoiseLevel& level) {
    return denoised_from(Parameterisation::epsilon, unary(UnaryOp::sin, noisy), noisy, level);
  };
  const NoiseSchedule schedule = linear_noise_schedule(200);
  for (const Levels& levels : {strided_levels(schedule, 200), strided_levels(schedule, 13),
                               exploding_levels(20), sub_vp_levels(20)}) {
    Generator first(2), second(2);
    const Tensor ancestral =
        ancestral_sample(any, levels, ReverseVariance::small, x, example_noise(50, first));
    const Tensor implicit = ddim_sample(any, levels, 1, x, example_noise(50, second));
    CHECK(largest_difference(ancestral.to_vector<double>(), implicit.to_vector<double>()) < 1e-9);
  }
}

TEST_CASE("a strided step of DDIM reads alpha_bar of the next step kept, and the last ends at t = 0") {
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  std::vector<double> times;
  const GaussianDenoiser one_of_noise = [&](const Tensor& x, const NoiseLevel& level) {
    times.push_back(level.time);
    return Denoised{
        .x_0 = zeros(x.shape(), x.dtype()), .epsilon = ones(x.shape(), x.dtype()), .variance_share = {}};
  };
  std::vector<double> seen;
  const Levels levels = strided_levels(schedule, 10);
  ddim_sample(one_of_noise, levels, 0, ones({1, 1}, Dtype::float64), kNoNoise,
              [&](size_t, const Tensor& x) { seen.push_back(x.item()); });
  const std::vector<int> steps = strided_steps(1000, 10);
  REQUIRE(times.size() == 10);
  for (size_t i = 0; i < 10; ++i) CHECK(times[i] == steps[i] / 1000.0);
  // x_s = sqrt(1 - alpha_bar_s) epsilon, where x_0 is 0.
  for (size_t i = 1; i < 10; ++i)
    CHECK(seen[i] ==
          doctest::Approx(std::sqrt(1 - schedule.alpha_bar[static_cast<size_t>(steps[i])])).epsilon(1e-13));
  CHECK(seen[10] == 0);
}

TEST_CASE("DDIM with eta = 0 draws no number") {
  const Tensor x = full({3, 2}, 0.5, Dtype::float64);
  const GaussianDenoiser denoise = optimal_denoiser(plane_data());
  const Levels levels = even_angle_levels(10);
  CHECK(ddim_sample(denoise, levels, 0, x, kNoNoise).to_vector<double>() ==
        ddim_sample(denoise, levels, 0, x, kNoNoise).to_vector<double>());
  CHECK_THROWS_WITH_AS(ddim_sample(denoise, levels, 0.1, x, kNoNoise), "a number was drawn", Error);
}

TEST_CASE("DDIM is of first order: its map for eta = 0, its mean and covariance for eta > 0") {
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (const auto& levels : {even_log_snr_levels, even_angle_levels, exploding_levels, sub_vp_levels}) {
      const double ratio = flow_error(ddim(0), data, levels(200)) / flow_error(ddim(0), data, levels(400));
      CHECK(ratio > 1.8);
      CHECK(ratio < 2.2);
    }
    const double ratio = moment_error(ddim(0.5), data, even_angle_levels(100)) /
                         moment_error(ddim(0.5), data, even_angle_levels(200));
    CHECK(ratio > 1.8);
    CHECK(ratio < 2.2);
  }
}

TEST_CASE("DDIM refuses an eta that is negative or asks for more noise than a level has") {
  const GaussianDenoiser denoise = optimal_denoiser(line_data());
  const Tensor x = zeros({1, 1}, Dtype::float64);
  const NoiseSource nothing = [](const Shape& shape, Dtype dtype) { return zeros(shape, dtype); };
  CHECK_THROWS_WITH_AS(ddim_sample(denoise, even_angle_levels(10), -0.5, x, nothing),
                       "ddim_sample: eta -0.5 is negative", Error);
  CHECK_THROWS_WITH_AS(ddim_sample(denoise, even_angle_levels(10), 3, x, nothing),
                       "ddim_sample: eta 3 asks for more noise than level 1 has", Error);
  CHECK_THROWS_AS(ddim_sample(denoise, even_angle_levels(10), NAN, x, nothing), Error);
}

}  // namespace haze
