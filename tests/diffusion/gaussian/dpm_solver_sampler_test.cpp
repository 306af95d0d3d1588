#include "haze/diffusion/gaussian/dpm_solver_sampler.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/ddim_sampler.h"

#include "diffusion/gaussian/gaussian_data.h"

namespace haze {
namespace {

using namespace diffusion_test;

Tensor dpm_solver(const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
                  const NoiseSource&) {
  return dpm_solver_sample(denoise, levels, x);
}

/// Algorithm 2 along one axis, with -alpha_i (e^{-h} - 1) = alpha_i - sigma_i alpha_{i-1} / sigma_{i-1}: the
/// factor of x - alpha mean.
double dpm_solver_factor(double d, const Levels& levels) {
  double u = 1, before = 0, h_before = 0;
  for (size_t i = 1; i < levels.size(); ++i) {
    const auto [alpha, sigma, time] = levels[i - 1];
    const auto [alpha_i, sigma_i, time_i] = levels[i];
    const double x_0 = alpha * d / (alpha * alpha * d + sigma * sigma) * u;
    const double h = std::log(alpha_i * sigma / (alpha * sigma_i));
    const double slope = i > 1 && sigma_i > 0 ? (x_0 - before) / h_before : 0;
    const double halfway = x_0 + (slope == 0 ? 0 : slope * h / 2);
    u = sigma_i / sigma * u + (alpha_i - sigma_i * alpha / sigma) * halfway;
    before = x_0;
    h_before = h;
  }
  return u;
}

}  // namespace

TEST_CASE("DPM-Solver++ 2M of Gaussian data has the mean and covariance of Algorithm 2, to 1e-11") {
  const NoiseSchedule schedule = linear_noise_schedule(200);
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (const Levels& levels :
         {strided_levels(schedule, 1), strided_levels(schedule, 2), strided_levels(schedule, 20),
          even_log_snr_levels(20), exploding_levels(20)}) {
      const AffineMap map = affine_map(dpm_solver, optimal_denoiser(data), levels, data.dimension());
      CHECK(map.draws == 0);
      const Moments expected = chain_moments(data, levels.front().alpha, [&](double d) {
        return std::pair{dpm_solver_factor(d, levels), 0.0};
      });
      Moments found = map(standard_normal(data.dimension()));
      // The chain is of x - alpha mean: at data alpha is 1.
      found.mean = sum_of(1, found.mean, 1 - levels.back().alpha, data.mean);
      CHECK(largest_difference(found, expected) < 1e-11);
    }
  }
}

TEST_CASE("DPM-Solver++ 2M is of second order: half the step, a quarter of the error of the map") {
  // Levels that are even in an angle are not here: near data their last steps in lambda are log 2, log 3/2,
  // ... however many there are.
  for (const GaussianData& data : {line_data(), plane_data()}) {
    for (const auto& levels : {even_log_snr_levels, exploding_levels}) {
      const double ratio =
          flow_error(dpm_solver, data, levels(80)) / flow_error(dpm_solver, data, levels(160));
      CHECK(ratio > 3.5);
      CHECK(ratio < 4.5);
    }
  }
}

TEST_CASE("DPM-Solver++ 2M takes 20 steps nearer to the flow than DDIM takes 100") {
  const GaussianData data = plane_data();
  const TestedSampler ddim = [](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
                                const NoiseSource& noise) {
    return ddim_sample(denoise, levels, 0, x, noise);
  };
  CHECK(flow_error(dpm_solver, data, even_log_snr_levels(20)) <
        flow_error(ddim, data, even_log_snr_levels(100)));
}

TEST_CASE("the first step of DPM-Solver++ 2M, and that to data, are DDIM's; each asks the denoiser once") {
  const GaussianData data = plane_data();
  Generator generator(1);
  const Tensor x = normal({5, 2}, generator, 0, 1, Dtype::float64);
  int calls = 0;
  const GaussianDenoiser counted = [&](const Tensor& noisy, const NoiseLevel& level) {
    ++calls;
    return optimal_denoiser(data)(noisy, level);
  };
  std::vector<Tensor> seen;
  const Levels levels = sub_vp_levels(10);
  const Tensor result =
      dpm_solver_sample(counted, levels, x, [&](size_t, const Tensor& at) { seen.push_back(at); });
  CHECK(calls == 10);
  REQUIRE(seen.size() == 11);
  const auto ddim_step = [&](const Tensor& from, size_t i) {
    const Levels two = {levels[i], levels[i + 1]};
    return ddim_sample(optimal_denoiser(data), two, 0, from, {}).to_vector<double>();
  };
  CHECK(largest_difference(seen[1].to_vector<double>(), ddim_step(x, 0)) < 1e-13);
  CHECK(largest_difference(result.to_vector<double>(), ddim_step(seen[9], 9)) < 1e-13);
  CHECK(largest_difference(seen[2].to_vector<double>(), ddim_step(seen[1], 1)) > 1e-4);
}

}  // namespace haze
