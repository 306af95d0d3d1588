#include "haze/diffusion/gaussian/classifier_guidance.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/ddim_sampler.h"
#include "haze/diffusion/gaussian/dpm_solver_sampler.h"
#include "haze/diffusion/gaussian/heun_sampler.h"

#include "diffusion/gaussian/gaussian_mixture.h"
#include "diffusion/toy_language.h"

namespace haze {
namespace {

using namespace diffusion_test;

/// y = the first coordinate of x_0, plus noise of this variance. All conditionals are Gaussians.
struct Measurement {
  GaussianData data;
  double y = 1.6, variance = 0.5;

  /// E[x_0 | x_t]'s matrix, and the gradient of log p(y | x_t) = log N(y; E[x_0 | x_t], Var(x_0 | x_t) +
  /// variance), of first coordinates.
  LogProbabilityGradient gradient() const {
    return [*this](const Tensor& x, const NoiseLevel& level) {
      const Moments here = data.at(level);
      const Matrix gain =
          sum_of(level.alpha, product(data.covariance(), inverse(here.covariance)), 0, here.covariance);
      const Matrix uncertainty = sum_of(1, data.covariance(), -level.alpha, product(gain, data.covariance()));
      // gain^T h (y - h^T E[x_0 | x]) / total, where h takes the first coordinate.
      const double total = uncertainty[0] + variance;
      const size_t d = data.dimension();
      Matrix matrix(d * d);
      std::vector<double> offset(d);
      const double centre = y - data.mean[0] + applied(gain, here.mean)[0];
      for (size_t j = 0; j < d; ++j) {
        offset[j] = gain[j] * centre / total;
        for (size_t k = 0; k < d; ++k) matrix[j * d + k] = -gain[j] * gain[k] / total;
      }
      return affine(matrix, offset, x);
    };
  }

  /// p(x_0 | y), by the formulas of a linear-Gaussian model.
  GaussianData posterior() const {
    const Matrix c = data.covariance();
    const double total = c[0] + variance;
    if (data.dimension() == 1) {
      return {.mean = {data.mean[0] + c[0] / total * (y - data.mean[0])},
              .variances = {c[0] * variance / total},
              .axes = {1}};
    }
    const double a = c[0] - c[0] * c[0] / total, b = c[1] - c[0] * c[1] / total,
                 d = c[3] - c[1] * c[1] / total;
    const double angle = 0.5 * std::atan2(2 * b, a - d), radius = std::hypot((a - d) / 2, b);
    return {.mean = sum_of(1, data.mean, (y - data.mean[0]) / total, {c[0], c[1]}),
            .variances = {(a + d) / 2 + radius, (a + d) / 2 - radius},
            .axes = {std::cos(angle), -std::sin(angle), std::sin(angle), std::cos(angle)}};
  }
};

TestedSampler guided_ancestral(const LogProbabilityGradient& gradient, ReverseVariance variance,
                               double scale = 1) {
  return
      [=](const GaussianDenoiser& denoise, const Levels& levels, const Tensor& x, const NoiseSource& noise) {
        return guided_ancestral_sample(denoise, levels, variance, gradient, scale, x, noise);
      };
}

/// grad log p(y = label | x) = alpha / variance * (means[label] - its mean over p(y | x)), in float64.
LogProbabilityGradient label_gradient(const GaussianMixture& mixture, size_t label) {
  return [=](const Tensor& x, const NoiseLevel& level) {
    const double factor = level.alpha / mixture.variance_at(level);
    return by_point(x, [&](const Point& point) {
      const Point mean = mixture.expected_mean(point, level);
      return Point{factor * (mixture.means[label][0] - mean[0]),
                   factor * (mixture.means[label][1] - mean[1])};
    });
  };
}

/// The same log p(y = label | x) as a network would give it, on the tape.
LogProbability label_classifier(const GaussianMixture& mixture, int64_t label) {
  std::vector<double> means, squares;
  for (const Point& mean : mixture.means) {
    means.insert(means.end(), mean.begin(), mean.end());
    squares.push_back(mean[0] * mean[0] + mean[1] * mean[1]);
  }
  const int64_t labels = std::ssize(mixture.means);
  const Tensor weight = Tensor::from(means, {labels, 2}), square = Tensor::from(squares, {labels});
  return [=](const Variable& x, const NoiseLevel& level) {
    const double factor = level.alpha / mixture.variance_at(level);
    const Variable logits =
        factor * matmul(x, transpose(weight)) - (0.5 * factor * level.alpha) * Variable(square);
    return reshape(slice(log_softmax(logits), 1, label, label + 1), {-1});
  };
}

/// The largest distance of the empirical distribution from N(mean, variance), times sqrt(count): above 1.95
/// once in 1000 times (Kolmogorov and Smirnov).
double ks_statistic(std::vector<double> x, double mean, double variance) {
  std::sort(x.begin(), x.end());
  const auto count = static_cast<double>(x.size());
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = normal_cdf((x[i] - mean) / std::sqrt(variance));
    largest = std::max(
        {largest, expected - static_cast<double>(i) / count, static_cast<double>(i + 1) / count - expected});
  }
  return largest * std::sqrt(count);
}

}  // namespace

TEST_CASE("the guided denoiser with scale 1 is the optimal denoiser of the conditional distribution") {
  Generator generator(1);
  for (const GaussianData& data : {line_data(), plane_data()}) {
    const Measurement measurement{.data = data};
    const GaussianDenoiser conditional = optimal_denoiser(measurement.posterior());
    const GaussianDenoiser led = guided(optimal_denoiser(data), measurement.gradient(), 1);
    const Tensor x = normal({20, std::ssize(data.mean)}, generator, 0, 2, Dtype::float64);
    for (const NoiseLevel& level :
         {NoiseLevel{1, 4, 1}, NoiseLevel{0.8, 0.6, 0.5}, NoiseLevel{0.3, 0.4, 0.5}}) {
      const Denoised found = led(x, level), expected = conditional(x, level);
      CHECK(largest_difference(found.x_0.to_vector<double>(), expected.x_0.to_vector<double>()) < 1e-12);
      CHECK(largest_difference(found.epsilon.to_vector<double>(), expected.epsilon.to_vector<double>()) <
            1e-12);
    }
  }
}

TEST_CASE(
    "the guided denoiser of one mode of a mixture is that of the mode alone, with a classifier on the tape") {
  const GaussianMixture all = eight_gaussians();
  const GaussianMixture one{.means = {all.means[3]}, .variance = all.variance};
  Generator generator(2);
  const Tensor x = normal({30, 2}, generator, 0, 2, Dtype::float64);
  const NoGradient scope;  // as within a sampler
  for (const NoiseLevel& level :
       {NoiseLevel{1, 4, 1}, NoiseLevel{0.8, 0.6, 0.5}, NoiseLevel{0.95, 0.3, 0.2}}) {
    const std::vector<double> expected = optimal_denoiser(one)(x, level).x_0.to_vector<double>();
    for (const LogProbabilityGradient& gradient :
         {label_gradient(all, 3), gradient_of(label_classifier(all, 3))}) {
      const Denoised found = guided(optimal_denoiser(all), gradient, 1)(x, level);
      CHECK(largest_difference(found.x_0.to_vector<double>(), expected) < 1e-10);
    }
  }
}

TEST_CASE("guided ancestral steps reach the conditional mean and covariance, with an error of first order") {
  for (const GaussianData& data : {line_data(), plane_data()}) {
    const Measurement measurement{.data = data};
    const GaussianData posterior = measurement.posterior();
    for (ReverseVariance variance : {ReverseVariance::small, ReverseVariance::large}) {
      const auto error = [&](int steps) {
        const Levels levels = even_log_snr_levels(steps);
        const AffineMap map = affine_map(guided_ancestral(measurement.gradient(), variance),
                                         optimal_denoiser(data), levels, data.dimension());
        return largest_difference(map(posterior.at(levels.front())), posterior.at(levels.back()));
      };
      const double coarse = error(100), fine = error(200);
      CHECK(fine < 0.015);
      CHECK(coarse / fine > 1.8);
      CHECK(coarse / fine < 2.2);
    }
  }
}

TEST_CASE(
    "a guided step adds scale Sigma g to the mean, g at the mean and its level, and none in a step to data") {
  const Levels levels = {{0.6, 0.8, 1}, {0.9, 0.4, 0.5}, {1, 0, 0}};
  const LevelStep step = step_between(levels[0], levels[1]);
  const GaussianDenoiser denoise = [](const Tensor& x, const NoiseLevel& level) {
    Denoised denoised = denoised_from(Parameterisation::x_0, full(x.shape(), 0.5, x.dtype()), x, level);
    denoised.variance_share = full(x.shape(), 0.25, x.dtype());
    return denoised;
  };
  const double mu = step.x_0_coefficient * 0.5 + step.x_t_coefficient * -1;
  const double small = step.posterior_variance, large = step.added_variance;
  for (const auto& [kind, sigma_squared] :
       {std::pair{ReverseVariance::small, small}, std::pair{ReverseVariance::large, large},
        std::pair{ReverseVariance::learned, std::pow(large, 0.25) * std::pow(small, 0.75)}}) {
    int calls = 0;
    const LogProbabilityGradient gradient = [&](const Tensor& x, const NoiseLevel& level) {
      ++calls;
      CHECK(x.item() == doctest::Approx(mu).epsilon(1e-14));
      CHECK(level.sigma == 0.4);
      return full(x.shape(), 3, x.dtype());
    };
    const NoiseSource noise = [](const Shape& shape, Dtype dtype) { return full(shape, 0.7, dtype); };
    std::vector<double> seen;
    guided_ancestral_sample(denoise, levels, kind, gradient, 2, full({1, 1}, -1, Dtype::float64), noise,
                            [&](size_t, const Tensor& x) { seen.push_back(x.item()); });
    CHECK(calls == 1);
    REQUIRE(seen.size() == 3);
    CHECK(seen[1] ==
          doctest::Approx(mu + 2 * sigma_squared * 3 + 0.7 * std::sqrt(sigma_squared)).epsilon(1e-13));
    CHECK(seen[2] == 0.5);
  }
}

TEST_CASE("guidance of scale 0 changes nothing") {
  const GaussianData data = plane_data();
  const Measurement measurement{.data = data};
  Generator generator(3);
  const Tensor x = normal({6, 2}, generator, 0, 1, Dtype::float64);
  const Levels levels = even_angle_levels(10);
  Generator first(4), second(4), third(4);
  const GaussianDenoiser denoise = optimal_denoiser(data);
  const std::vector<double> free =
      ancestral_sample(denoise, levels, ReverseVariance::large, x, example_noise(6, first))
          .to_vector<double>();
  CHECK(guided_ancestral_sample(denoise, levels, ReverseVariance::large, measurement.gradient(), 0, x,
                                example_noise(6, second))
            .to_vector<double>() == free);
  const Tensor led = ancestral_sample(guided(denoise, measurement.gradient(), 0), levels,
                                      ReverseVariance::large, x, example_noise(6, third));
  CHECK(largest_difference(led.to_vector<double>(), free) < 1e-12);
}

TEST_CASE("both ways sample one of two overlapping modes (Kolmogorov-Smirnov, 99.9 %, 4000 samples)") {
  const GaussianMixture mixture{.means = {{-0.5, 0}, {0.8, 0.4}}, .variance = 0.3};
  constexpr int64_t kCount = 4000;
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  Generator generator(5);
  const Tensor x = normal({kCount, 2}, generator, 0, 1, Dtype::float64);
  const NoiseSource noise = batch_noise(generator);
  const GaussianDenoiser denoise = optimal_denoiser(mixture);
  const LogProbabilityGradient gradient = label_gradient(mixture, 1);
  // Along the first axis, where the modes overlap.
  const auto statistic = [&](const Tensor& samples) {
    return ks_statistic(slice(samples, 1, 0, 1).to_vector<double>(), 0.8, mixture.variance);
  };
  const GaussianDenoiser led = guided(denoise, gradient, 1);
  const Levels levels = strided_levels(schedule, 200);
  CHECK(statistic(heun_sample(led, strided_levels(schedule, 50), x)) < 1.95);
  CHECK(statistic(ancestral_sample(led, levels, ReverseVariance::large, x, noise)) < 1.95);
  CHECK(statistic(guided_ancestral_sample(denoise, levels, ReverseVariance::large, gradient, 1, x, noise)) <
        1.95);
  CHECK(statistic(ancestral_sample(denoise, levels, ReverseVariance::large, x, noise)) > 10);
}

TEST_CASE("with the guided denoiser of label 3 every sampler does what it does for that mode alone") {
  const GaussianMixture all = eight_gaussians();
  const GaussianMixture one{.means = {all.means[3]}, .variance = all.variance};
  Generator generator(7);
  const Tensor x = normal({100, 2}, generator, 0, 1, Dtype::float64);
  const GaussianDenoiser led = guided(optimal_denoiser(all), gradient_of(label_classifier(all, 3)), 1);
  const Levels levels = strided_levels(linear_noise_schedule(1000), 20);
  const auto check = [&](const std::function<Tensor(const GaussianDenoiser&)>& sample) {
    CHECK(largest_difference(sample(led).to_vector<double>(),
                             sample(optimal_denoiser(one)).to_vector<double>()) < 1e-9);
  };
  check([&](const GaussianDenoiser& denoise) {
    Generator own(8);
    return ancestral_sample(denoise, levels, ReverseVariance::large, x, example_noise(100, own));
  });
  check([&](const GaussianDenoiser& denoise) { return ddim_sample(denoise, levels, 0, x, {}); });
  check([&](const GaussianDenoiser& denoise) { return dpm_solver_sample(denoise, levels, x); });
  check([&](const GaussianDenoiser& denoise) { return heun_sample(denoise, levels, x); });
}

TEST_CASE(
    "of eight Gaussians label 3 is sampled: more than 0.99 in its mode, its mean within 4 standard errors") {
  const GaussianMixture mixture = eight_gaussians();
  constexpr int64_t kCount = 2000;
  Generator generator(6);
  const Tensor x = normal({kCount, 2}, generator, 0, 1, Dtype::float64);
  const NoiseSource noise = batch_noise(generator);
  const GaussianDenoiser denoise = optimal_denoiser(mixture);
  const LogProbabilityGradient gradient = gradient_of(label_classifier(mixture, 3));
  const Levels levels = strided_levels(linear_noise_schedule(1000), 200);
  const auto check = [&](const std::string& way, const Tensor& samples) {
    const std::vector<double> values = samples.to_vector<double>();
    RunningMean share, first, second;
    for (size_t i = 0; i < values.size(); i += 2) {
      const auto probabilities = mixture.label_probabilities({values[i], values[i + 1]}, {1, 0, 0});
      share.add(std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin() == 3);
      first.add(values[i] - mixture.means[3][0]);
      second.add(values[i + 1] - mixture.means[3][1]);
    }
    MESSAGE(way << ": share of label 3 is " << share.mean());
    CHECK(share.mean() > 0.99);
    CHECK(first.agrees_with(0));
    CHECK(second.agrees_with(0));
  };
  check("guided steps",
        guided_ancestral_sample(denoise, levels, ReverseVariance::small, gradient, 1, x, noise));
  check("guided denoiser",
        ancestral_sample(guided(denoise, gradient, 1), levels, ReverseVariance::small, x, noise));
}

TEST_CASE("a gradient of another shape is refused, and parameters of a classifier get no gradient") {
  const GaussianDenoiser denoise = optimal_denoiser(line_data());
  const LogProbabilityGradient wrong = [](const Tensor&, const NoiseLevel&) {
    return zeros({1}, Dtype::float64);
  };
  const Tensor x = full({3, 1}, 0.5, Dtype::float64);
  CHECK_THROWS_WITH_AS(guided(denoise, wrong, 1)(x, {0.8, 0.6, 0.5}),
                       "classifier guidance: the gradient has shape [1], x [3, 1]", Error);
  const Variable weight = Variable::leaf(full({1}, 2, Dtype::float64));
  const LogProbabilityGradient trained =
      gradient_of([&](const Variable& at, const NoiseLevel&) { return reshape(-square(at * weight), {-1}); });
  const Tensor found = trained(x, {0.8, 0.6, 0.5});
  for (double value : found.to_vector<double>()) CHECK(value == -4);  // -2 weight^2 x
  CHECK_FALSE(weight.gradient().defined());
}

}  // namespace haze
