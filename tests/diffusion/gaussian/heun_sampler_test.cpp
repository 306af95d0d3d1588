#include "haze/diffusion/gaussian/heun_sampler.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/ddim_sampler.h"

#include "diffusion/gaussian/gaussian_data.h"

namespace haze {
namespace {

using namespace diffusion_test;

Tensor heun(const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x, const NoiseSource&) {
  return heun_sample(denoise, levels, x);
}

/// Algorithm 1 along one axis, on y = x / alpha at s = sigma / alpha: d = (y - D(y; s)) / s. The factor of
/// x - alpha mean.
double heun_factor(double d, const Levels& levels) {
  const auto slope = [d](double y, double s) { return (y - d / (d + s * s) * y) / s; };
  double y = 1 / levels.front().alpha;
  for (size_t i = 1; i < levels.size(); ++i) {
    const double s = levels[i - 1].sigma / levels[i - 1].alpha, s_next = levels[i].sigma / levels[i].alpha;
    const double euler = y + (s_next - s) * slope(y, s);
    y = s_next > 0 ? y + (s_next - s) * 0.5 * (slope(y, s) + slope(euler, s_next)) : euler;
  }
  return y * levels.back().alpha;
}

}  // namespace

TEST_CASE("Heun's sampler of Gaussian data has the mean and covariance of Algorithm 1, to 1e-11") {
  const NoiseSchedule schedule = linear_noise_schedule(200);
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (const Levels& levels : {strided_levels(schedule, 1), strided_levels(schedule, 2),
                                 strided_levels(schedule, 50), exploding_levels(20), sub_vp_levels(20)}) {
      const AffineMap map = affine_map(heun, optimal_denoiser(data), levels, data.dimension());
      CHECK(map.draws == 0);
      const Moments expected = chain_moments(data, levels.front().alpha, [&](double d) {
        return std::pair{heun_factor(d, levels), 0.0};
      });
      const Moments found = map(standard_normal(data.dimension()));
      for (size_t k = 0; k < found.covariance.size(); ++k)
        CHECK(found.covariance[k] == doctest::Approx(expected.covariance[k]).epsilon(1e-11));
      for (size_t k = 0; k < found.mean.size(); ++k)
        CHECK(found.mean[k] == doctest::Approx(expected.mean[k]).epsilon(1e-11));
    }
  }
}

TEST_CASE("Heun's sampler is of second order: half the step, a quarter of the error of the map") {
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (const auto& levels : {even_log_snr_levels, exploding_levels, even_angle_levels, sub_vp_levels}) {
      const double ratio = flow_error(heun, data, levels(100)) / flow_error(heun, data, levels(200));
      CHECK(ratio > 3.5);
      CHECK(ratio < 4.5);
    }
  }
}

TEST_CASE("Heun's sampler asks the denoiser twice a step, and once in the step to data, which is DDIM's") {
  const GaussianData data = plane_data();
  Generator generator(1);
  const Tensor x = normal({5, 2}, generator, 0, 1, Dtype::float64);
  std::vector<double> sigmas;
  const GaussianDenoiser counted = [&](const Tensor& noisy, const NoiseLevel& level) {
    sigmas.push_back(level.sigma);
    return optimal_denoiser(data)(noisy, level);
  };
  const Levels levels = sub_vp_levels(3);
  std::vector<Tensor> seen;
  const Tensor result =
      heun_sample(counted, levels, x, [&](size_t, const Tensor& at) { seen.push_back(at); });
  CHECK(sigmas == std::vector<double>{levels[0].sigma, levels[1].sigma, levels[1].sigma, levels[2].sigma,
                                      levels[2].sigma});
  REQUIRE(seen.size() == 4);
  const Levels last = {levels[2], levels[3]};
  CHECK(largest_difference(ddim_sample(optimal_denoiser(data), last, 0, seen[2], {}).to_vector<double>(),
                           result.to_vector<double>()) < 1e-13);
}

}  // namespace haze
