#include <algorithm>
#include <cmath>
#include <map>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/diffusion/gaussian/classifier_guidance.h"
#include "haze/diffusion/gaussian/ddim_sampler.h"
#include "haze/diffusion/gaussian/dpm_solver_sampler.h"
#include "haze/diffusion/gaussian/heun_sampler.h"

#include "diffusion/gaussian/gaussian_mixture.h"
#include "diffusion/toy_language.h"

/// All samplers side by side.
namespace haze {
namespace {

using namespace diffusion_test;

struct NamedSampler {
  const char* name;
  TestedSampler sample;
};

TestedSampler ancestral(ReverseVariance variance) {
  return [=](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
             const NoiseSource& noise) { return ancestral_sample(denoise, levels, variance, x, noise); };
}

TestedSampler ddim(double eta) {
  return [=](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
             const NoiseSource& noise) { return ddim_sample(denoise, levels, eta, x, noise); };
}

std::vector<NamedSampler> samplers() {
  return {{"ancestral, large variance", ancestral(ReverseVariance::large)},
          {"ancestral, small variance", ancestral(ReverseVariance::small)},
          {"DDIM, eta 0.5", ddim(0.5)},
          {"DDIM, eta 0", ddim(0)},
          {"DPM-Solver++ 2M", [](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
                                 const NoiseSource&) { return dpm_solver_sample(denoise, levels, x); }},
          {"Heun", [](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x,
                      const NoiseSource&) { return heun_sample(denoise, levels, x); }}};
}

/// The sliced Wasserstein distance of order 1 of points from eight Gaussians: the area between the two
/// distribution functions along a direction, on average. N(0, I) and the data look the same turned by 45
/// degrees, and so do samples: each point stands for the eight that it is turned to, and four directions
/// within 45 degrees for all.
double sliced_distance(const Tensor& samples, const GaussianMixture& mixture) {
  constexpr int kTurns = 8, kDirections = 4, kPlaces = 800;
  constexpr double kWidth = 0.01;  // places are in -4..4
  const double deviation = std::sqrt(mixture.variance);
  const std::vector<double> points = samples.to_vector<double>();
  double total = 0;
  for (int k = 0; k < kDirections; ++k) {
    std::vector<double> projected;
    for (int turn = 0; turn < kTurns; ++turn) {
      const double angle = M_PI / 4 * (turn + (k + 0.5) / kDirections), c = std::cos(angle),
                   s = std::sin(angle);
      for (size_t i = 0; i < points.size(); i += 2) projected.push_back(c * points[i] + s * points[i + 1]);
    }
    std::sort(projected.begin(), projected.end());
    const double angle = M_PI / 4 * (k + 0.5) / kDirections, c = std::cos(angle), s = std::sin(angle);
    for (int j = 0; j < kPlaces; ++j) {
      const double at = (j + 0.5 - kPlaces / 2) * kWidth;
      double expected = 0;
      for (const Point& mean : mixture.means)
        expected += normal_cdf((at - c * mean[0] - s * mean[1]) / deviation);
      const auto below = std::upper_bound(projected.begin(), projected.end(), at) - projected.begin();
      total += kWidth * std::abs(static_cast<double>(below) / static_cast<double>(projected.size()) -
                                 expected / static_cast<double>(mixture.means.size()));
    }
  }
  return total / kDirections;
}

}  // namespace

TEST_CASE("example i of every sampler depends on the seed and i alone, whatever the count") {
  const Levels levels = strided_levels(linear_noise_schedule(100), 8);
  std::vector<NamedSampler> all = samplers();
  const GaussianMixture mixture = eight_gaussians();
  all.push_back({"guided steps", [&](const GaussianDenoiser& denoise, const Levels& at, const Tensor& x,
                                     const NoiseSource& noise) {
                   const LogProbabilityGradient gradient = [](const Tensor& where, const NoiseLevel&) {
                     return unary(UnaryOp::sin, where);
                   };
                   return guided_ancestral_sample(denoise, at, ReverseVariance::large, gradient, 1, x, noise);
                 }});
  for (const NamedSampler& sampler : all) {
    CAPTURE(sampler.name);
    const auto sample = [&](int64_t count, uint64_t seed) {
      Generator generator(seed);
      const NoiseSource noise = example_noise(count, generator);
      const Tensor x = noise({count, 2}, Dtype::float32);
      const GaussianDenoiser denoise = [&](const Tensor& noisy, const NoiseLevel& level) {
        const Denoised exact = optimal_denoiser(mixture)(cast(noisy, Dtype::float64), level);
        return denoised_from(Parameterisation::x_0, cast(exact.x_0, Dtype::float32), noisy, level);
      };
      return sampler.sample(denoise, levels, x, noise).to_vector<float>();
    };
    const std::vector<float> many = sample(40, 7);
    for (int64_t count : {1, 3, 17})
      CHECK(sample(count, 7) == std::vector<float>(many.begin(), many.begin() + 2 * count));
    CHECK(sample(40, 8) != many);
  }
}

TEST_CASE("in float32 every sampler gives what it gives in float64, to 1e-4") {
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  const GaussianDenoiser exact = optimal_denoiser(plane_data());
  const GaussianDenoiser single = [&](const Tensor& x, const NoiseLevel& level) {
    const Denoised denoised = exact(cast(x, Dtype::float64), level);
    return denoised_from(Parameterisation::epsilon, cast(denoised.epsilon, x.dtype()), x, level);
  };
  Generator generator(2);
  const Tensor x = normal({20, 2}, generator);
  for (const NamedSampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    for (const Levels& levels : {strided_levels(schedule, 1000), log_snr_levels(schedule, 20)}) {
      const auto sample = [&](const GaussianDenoiser& denoise, Dtype dtype) {
        Generator own(3);
        const NoiseSource noise = [&](const Shape& shape, Dtype) { return cast(normal(shape, own), dtype); };
        return sampler.sample(denoise, levels, cast(x, dtype), noise).to_vector<double>();
      };
      CHECK(largest_difference(sample(single, Dtype::float32), sample(exact, Dtype::float64)) < 1e-4);
    }
  }
}

TEST_CASE("every sampler refuses levels that do not fall") {
  const NoiseSource nothing = [](const Shape& shape, Dtype dtype) { return zeros(shape, dtype); };
  const Tensor x = zeros({1, 1}, Dtype::float64);
  for (const NamedSampler& sampler : samplers()) {
    CAPTURE(sampler.name);
    CHECK_THROWS_AS(
        sampler.sample(optimal_denoiser(line_data()), {{0.8, 0.6, 0.5}, {0.6, 0.8, 1}}, x, nothing), Error);
    CHECK_THROWS_AS(sampler.sample(optimal_denoiser(line_data()), {{0.8, 0.6, 0.5}}, x, nothing), Error);
  }
}

TEST_CASE(
    "every sampler comes nearer to eight Gaussians with more steps, until it is as near as the data's own "
    "points") {
  constexpr int64_t kCount = 1000;
  const GaussianMixture mixture = eight_gaussians();
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  Generator generator(1);
  RunningMean own, own_square;
  for (int i = 0; i < 20; ++i) {
    const double distance = sliced_distance(draw_from(mixture, kCount, generator), mixture);
    own.add(distance);
    own_square.add(distance * distance);
  }
  const double spread = std::sqrt(own_square.mean() - own.mean() * own.mean());
  std::string table =
      fmt::format("distance from eight Gaussians; their own points: {:.4f} +- {:.4f}\n", own.mean(), spread);

  const Tensor x = normal({kCount, 2}, generator, 0, 1, Dtype::float64);
  const auto measure = [&](const NamedSampler& sampler, const char* spacing, const auto& levels) {
    CAPTURE(sampler.name);
    std::vector<double> distances;
    for (int steps : {5, 10, 20, 50, 200}) {
      const Tensor samples =
          sampler.sample(optimal_denoiser(mixture), levels(schedule, steps), x, batch_noise(generator));
      distances.push_back(sliced_distance(samples, mixture));
      table += fmt::format("{:.4f} ", distances.back());
    }
    table += fmt::format("{}, even in {}\n", sampler.name, spacing);
    CHECK(distances[1] < distances[0]);
    CHECK(distances[2] < distances[1]);
    CHECK(distances[4] < own.mean() + 4 * spread);
    return distances[2];
  };
  std::map<std::string, double> at_20_steps;
  for (const NamedSampler& sampler : samplers()) {
    const double even_in_t = measure(sampler, "t", strided_levels);
    at_20_steps[sampler.name] = std::min(even_in_t, measure(sampler, "log-SNR", log_snr_levels));
  }
  CHECK(at_20_steps.at("DPM-Solver++ 2M") < 0.6 * at_20_steps.at("DDIM, eta 0"));
  CHECK(at_20_steps.at("Heun") < 0.6 * at_20_steps.at("DDIM, eta 0"));
  MESSAGE(table);
}

}  // namespace haze
