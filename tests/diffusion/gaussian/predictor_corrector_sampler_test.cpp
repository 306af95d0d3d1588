#include "haze/diffusion/gaussian/predictor_corrector_sampler.h"

#include <doctest/doctest.h>

#include "normal_data.h"

namespace haze {
namespace {

constexpr double kEnd = 0.01;

std::vector<NoiseLevel> levels_without_data(const Sde& sde, int64_t steps) {
  std::vector<NoiseLevel> levels = sde_levels(sde, steps, kEnd);
  levels.pop_back();
  return levels;
}

testing::Moments moments_with(const Sde& sde, int64_t steps, const CorrectorOptions& corrector) {
  const testing::NormalData data;
  const std::vector<NoiseLevel> levels = levels_without_data(sde, steps);
  const GaussianDenoiser denoise = denoiser_of(data.predictor(sde));
  return testing::propagated_moments(data, levels[0], steps * (1 + corrector.steps) + 1,
                                     [&](const Tensor& x, const NoiseSource& z) {
                                       return predictor_corrector_sample(denoise, levels, corrector, x, z);
                                     });
}

double error_with(const Sde& sde, int64_t steps, int64_t corrector_steps) {
  return testing::moment_error(moments_with(sde, steps, {.steps = corrector_steps}), {},
                               sde_level(sde, kEnd));
}

// Algorithms 2 to 5 for a normal x along one axis, whose score is -(x - mean) / variance: its variance alone.
double boxed_variance(const Sde& sde, int64_t steps, const CorrectorOptions& corrector,
                      double data_variance) {
  const std::vector<NoiseLevel> levels = levels_without_data(sde, steps);
  const auto marginal = [&](const NoiseLevel& level) {
    return level.alpha * level.alpha * data_variance + level.sigma * level.sigma;
  };
  double variance = marginal(levels[0]);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const double root = levels[i].alpha / levels[i + 1].alpha;
    const double beta =
        levels[i].sigma * levels[i].sigma - root * root * levels[i + 1].sigma * levels[i + 1].sigma;
    const double kept = 2 - root - beta / marginal(levels[i]);
    variance = kept * kept * variance + beta;
    // alpha_i of Algorithm 5: 1 - beta of the level at which x is; before the first level are the data.
    const double own_root = levels[i + 1].alpha / (i + 2 < levels.size() ? levels[i + 2].alpha : 1);
    for (int64_t m = 0; m < corrector.steps; ++m) {
      const double r = corrector.signal_to_noise * levels[i + 1].sigma;
      const double step = 2 * own_root * own_root * r * r;
      const double pulled = 1 - step / marginal(levels[i + 1]);
      variance = pulled * pulled * variance + 2 * step;
    }
  }
  return variance;
}

}  // namespace

TEST_CASE("predictor-corrector: the covariance is that of the boxes of Algorithms 2 to 5, to 1e-9") {
  const testing::NormalData data;
  for (const Sde& sde : testing::all_sdes()) {
    const CorrectorOptions corrector{.steps = 2, .signal_to_noise = 0.16};
    const testing::Moments moments = moments_with(sde, 60, corrector);
    const double first = boxed_variance(sde, 60, corrector, data.variance[0]);
    const double second = boxed_variance(sde, 60, corrector, data.variance[1]);
    CHECK(moments.covariance[0][0] + moments.covariance[1][1] ==
          doctest::Approx(first + second).epsilon(1e-9));
    const double determinant = moments.covariance[0][0] * moments.covariance[1][1] -
                               moments.covariance[0][1] * moments.covariance[1][0];
    CHECK(determinant == doctest::Approx(first * second).epsilon(1e-9));
  }
}

TEST_CASE("predictor-corrector: mean and covariance of normal data come out, nearer with more steps") {
  for (const Sde& sde : testing::all_sdes()) {
    CAPTURE(static_cast<int>(sde.kind));
    const double predictor = error_with(sde, 200, 0), corrected = error_with(sde, 200, 1);
    const double fine = error_with(sde, 400, 0);
    MESSAGE("SDE ", static_cast<int>(sde.kind), ": error of the predictor ", predictor, ", of both ",
            corrected, " with 200 steps");
    CHECK(predictor < 0.05);
    CHECK(corrected < 0.02);
    CHECK(predictor / fine == doctest::Approx(2).epsilon(0.2));
  }
}

TEST_CASE("predictor-corrector: with batch norms the step is 2 a^2 (r |z| / |g|)^2 of mean norms") {
  const NoiseLevel from{.alpha = 0.5, .sigma = 0.8, .time = 1}, to{.alpha = 0.6, .sigma = 0.7, .time = 0.5};
  const std::vector<NoiseLevel> levels = {from, to};
  const std::vector<double> epsilon = {0.3, 0.4, 0.0, 1.0}, z = {3, 4, 0, 2};
  const GaussianDenoiser denoise = [&](const Tensor& x, const NoiseLevel& level) {
    return denoised_from(Parameterisation::epsilon, Tensor::from(epsilon, {2, 2}), x, level);
  };
  const NoiseSource noise = [&](const Shape&, Dtype) { return Tensor::from(z, {2, 2}); };
  const Tensor start = zeros({2, 2}, Dtype::float64);
  const std::vector<double> before =
      predictor_corrector_sample(denoise, levels, {.steps = 0}, start, noise).to_vector<double>();
  const std::vector<double> after =
      predictor_corrector_sample(denoise, levels, {.steps = 1, .signal_to_noise = 0.1, .batch_norms = true},
                                 start, noise)
          .to_vector<double>();
  const double z_norm = (5 + 2) / 2.0, g_norm = (0.5 + 1) / 2 / 0.7, a = 0.6;
  const double step = 2 * a * a * std::pow(0.1 * z_norm / g_norm, 2);
  for (size_t k = 0; k < 4; ++k)
    CHECK(after[k] == doctest::Approx(before[k] - step * epsilon[k] / 0.7 + std::sqrt(2 * step) * z[k]));
}

TEST_CASE("predictor-corrector: the corrector at step t of DDPM takes alpha_t, as Algorithm 5 does") {
  const NoiseSchedule schedule = noise_schedule({0.1, 0.2, 0.4});
  const std::vector<NoiseLevel> levels = {noise_level(schedule, 3), noise_level(schedule, 2),
                                          noise_level(schedule, 1)};
  const GaussianDenoiser denoise = [](const Tensor& x, const NoiseLevel& level) {
    return denoised_from(Parameterisation::epsilon, zeros(x.shape(), x.dtype()), x, level);
  };
  // With a score of 0 the noise of each draw is all that a step adds.
  const auto with_noise_in_draw = [&](int wanted) {
    int draw = 0;
    const NoiseSource noise = [&](const Shape& shape, Dtype dtype) {
      return full(shape, draw++ == wanted ? 1 : 0, dtype);
    };
    return predictor_corrector_sample(denoise, levels, {.steps = 1, .signal_to_noise = 0.5},
                                      zeros({1, 1}, Dtype::float64), noise)
        .item();
  };
  // Draws 1 and 3 are the corrector's, at t = 2 and t = 1: sqrt(2 e) = 2 sqrt(alpha_t) r sigma_t, and the
  // predictor's step from t = 2 multiplies the first by 2 - sqrt(alpha_2).
  CHECK(with_noise_in_draw(1) ==
        doctest::Approx(2 * std::sqrt(0.8) * 0.5 * levels[1].sigma * (2 - std::sqrt(0.8))));
  CHECK(with_noise_in_draw(3) == doctest::Approx(2 * std::sqrt(0.9) * 0.5 * levels[2].sigma));
}

TEST_CASE("predictor-corrector refuses levels that do not fall") {
  const GaussianDenoiser denoise = denoiser_of(testing::NormalData{}.predictor({}));
  const NoiseSource none = [](const Shape& shape, Dtype dtype) { return zeros(shape, dtype); };
  const std::vector<NoiseLevel> one = {sde_level({}, 0.5)}, rising = {sde_level({}, 0.2), sde_level({}, 0.5)};
  for (const std::vector<NoiseLevel>& levels : {one, rising})
    CHECK_THROWS_AS(predictor_corrector_sample(denoise, levels, {}, zeros({1, 2}), none), Error);
}

TEST_CASE("predictor-corrector: the step to data gives the denoised x_0, with neither noise nor corrector") {
  const Sde sde;
  const std::vector<NoiseLevel> levels = {sde_level(sde, 0.01), {}};
  const GaussianDenoiser denoise = denoiser_of(testing::NormalData{}.predictor(sde));
  const NoiseSource none = [](const Shape&, Dtype) -> Tensor { fail("no noise is drawn in a step to data"); };
  const Tensor x = full({3, 2}, 0.5, Dtype::float64);
  CHECK(predictor_corrector_sample(denoise, levels, {}, x, none).to_vector<double>() ==
        denoise(x, levels[0]).x_0.to_vector<double>());
}

}  // namespace haze
