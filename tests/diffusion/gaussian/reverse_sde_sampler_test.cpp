#include "haze/diffusion/gaussian/reverse_sde_sampler.h"

#include <cmath>

#include <doctest/doctest.h>

#include "normal_data.h"

namespace haze {
namespace {

double error_with(const Sde& sde, int64_t steps) {
  const testing::NormalData data;
  const std::vector<double> times = falling_times(steps, 0.01);
  const GaussianDenoiser denoise = denoiser_of(data.predictor(sde));
  const testing::Moments moments = testing::propagated_moments(
      data, sde_level(sde, 1), steps + 1,
      [&](const Tensor& x, const NoiseSource& z) { return reverse_sde_sample(denoise, sde, times, x, z); });
  return testing::moment_error(moments, data, sde_level(sde, 0.01));
}

}  // namespace

TEST_CASE(
    "reverse SDE: mean and covariance of normal data come out, with an error of first order in the step") {
  for (const Sde& sde : testing::all_sdes()) {
    CAPTURE(static_cast<int>(sde.kind));
    const double coarse = error_with(sde, 200), fine = error_with(sde, 400);
    MESSAGE("SDE ", static_cast<int>(sde.kind), ": error ", coarse, " with 200 steps, ", fine, " with 400");
    CHECK(fine < 0.003);
    // Of VE the term of first order vanishes for normal data of variance s. With V = s + sigma^2 it is, along
    // an axis, an integral of L (1 / V^2 - 2 s / V^3) dV with L = log(sigma_max / sigma_min), which is L (s /
    // V^2 - 1 / V): 0 at both ends.
    const bool exploding = sde.kind == SdeKind::variance_exploding;
    CHECK(std::log2(coarse / fine) == doctest::Approx(exploding ? 2 : 1).epsilon(exploding ? 0.1 : 0.02));
  }
}

TEST_CASE("reverse SDE: one step is x - (f - g^2 score) h + g sqrt(h) z") {
  const Sde sde;
  const GaussianDenoiser half = [](const Tensor& x, const NoiseLevel& level) {
    return denoised_from(Parameterisation::epsilon, full(x.shape(), 0.5, x.dtype()), x, level);
  };
  const NoiseSource ones_source = [](const Shape& shape, Dtype dtype) { return ones(shape, dtype); };
  const std::vector<double> times = {0.5, 0.4};
  const double beta = 0.1 + 0.5 * 19.9, sigma = std::sqrt(1 - std::exp(-(0.05 + 0.25 * 19.9 / 2)));
  const double expected = 2 + 0.5 * beta * 2 * 0.1 - beta * 0.5 / sigma * 0.1 + std::sqrt(beta * 0.1);
  const Tensor x = reverse_sde_sample(half, sde, times, full({1, 1}, 2, Dtype::float64), ones_source);
  CHECK(x.item() == doctest::Approx(expected));
  const std::vector<double> rising = {0.4, 0.5};
  CHECK_THROWS_WITH_AS(reverse_sde_sample(half, sde, rising, x, ones_source),
                       "reverse_sde_sample: the times do not fall from 0.4 to 0.5", Error);
}

}  // namespace haze
