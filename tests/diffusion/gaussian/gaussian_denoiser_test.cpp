#include "haze/diffusion/gaussian/gaussian_denoiser.h"

#include <cmath>

#include <doctest/doctest.h>

#include "diffusion/gaussian/gaussian_data.h"
#include "diffusion/toy_language.h"

namespace haze {
namespace {

using diffusion_test::largest_difference;
using diffusion_test::sum_of;

constexpr NoiseLevel kLevels[] = {{0.8, 0.6, 0.5}, {1, 7, 0.9}, {0.3, 0.4, 0.5}, {0.006, 0.99998, 1}};

struct Example {
  std::vector<double> x_0, epsilon, x;
};

Example example_at(const NoiseLevel& level, uint64_t seed) {
  Generator generator(seed);
  Example example{.x_0 = normal({12}, generator, 0, 1, Dtype::float64).to_vector<double>(),
                  .epsilon = normal({12}, generator, 0, 1, Dtype::float64).to_vector<double>(),
                  .x = {}};
  example.x = sum_of(level.alpha, example.x_0, level.sigma, example.epsilon);
  return example;
}

Tensor tensor(const std::vector<double>& values) {
  return Tensor::from(values, {3, 4});
}

}  // namespace

TEST_CASE("each parameterisation's prediction gives back x_0 and epsilon") {
  for (const NoiseLevel& level : kLevels) {
    CAPTURE(level.alpha);
    const Example example = example_at(level, 1);
    const std::vector<double> v = sum_of(level.alpha, example.epsilon, -level.sigma, example.x_0);
    const auto check = [&](Parameterisation kind, const std::vector<double>& prediction) {
      const Denoised denoised = denoised_from(kind, tensor(prediction), tensor(example.x), level);
      // Dividing by alpha makes the last digit of x larger by sigma / alpha.
      const double digits = 1e-15 * (1 + level.sigma / level.alpha);
      CHECK(largest_difference(denoised.x_0.to_vector<double>(), example.x_0) < 30 * digits);
      CHECK(largest_difference(denoised.epsilon.to_vector<double>(), example.epsilon) < 1e-12);
    };
    check(Parameterisation::epsilon, example.epsilon);
    check(Parameterisation::x_0, example.x_0);
    check(Parameterisation::v, v);
  }
}

TEST_CASE("the three parameterisations are inverse pairs: any prediction goes there and back to 1e-12") {
  const auto prediction_of = [](Parameterisation kind, const Denoised& denoised, const NoiseLevel& level) {
    if (kind == Parameterisation::epsilon) return denoised.epsilon;
    if (kind == Parameterisation::x_0) return denoised.x_0;
    return weighted_sum(level.alpha, denoised.epsilon, -level.sigma, denoised.x_0);
  };
  constexpr Parameterisation kKinds[] = {Parameterisation::epsilon, Parameterisation::x_0,
                                         Parameterisation::v};
  Generator generator(2);
  const Tensor x = normal({3, 4}, generator, 0, 1, Dtype::float64);
  const Tensor prediction = normal({3, 4}, generator, 0, 1, Dtype::float64);
  for (const NoiseLevel& level : {kLevels[0], kLevels[1], kLevels[2]}) {
    for (Parameterisation from : kKinds) {
      for (Parameterisation through : kKinds) {
        const Denoised first = denoised_from(from, prediction, x, level);
        const Denoised second = denoised_from(through, prediction_of(through, first, level), x, level);
        const Tensor back = prediction_of(from, second, level);
        CHECK(largest_difference(back.to_vector<double>(), prediction.to_vector<double>()) < 1e-12);
      }
    }
  }
}

TEST_CASE("a clipped denoiser keeps x_0 within bounds and x = alpha x_0 + sigma epsilon") {
  for (const NoiseLevel& level : kLevels) {
    const Example example = example_at(level, 3);
    const Tensor share = full({3, 4}, 0.25, Dtype::float64);
    const GaussianDenoiser free = [&](const Tensor& x, const NoiseLevel& at) {
      Denoised denoised =
          denoised_from(Parameterisation::x_0, tensor(sum_of(3, example.x_0, 0, example.x_0)), x, at);
      denoised.variance_share = share;
      return denoised;
    };
    const Denoised kept = clipped(free, -1, 0.5)(tensor(example.x), level);
    const std::vector<double> x_0 = kept.x_0.to_vector<double>();
    for (size_t i = 0; i < x_0.size(); ++i) CHECK(x_0[i] == std::clamp(3 * example.x_0[i], -1.0, 0.5));
    CHECK(largest_difference(sum_of(level.alpha, x_0, level.sigma, kept.epsilon.to_vector<double>()),
                             example.x) < 1e-12);
    CHECK(kept.variance_share.to_vector<double>() == share.to_vector<double>());
  }
}

TEST_CASE("example noise is normal, new at each call, and example i has its own whatever the count") {
  const auto draws = [](int64_t count, uint64_t seed) {
    Generator generator(seed);
    const NoiseSource noise = example_noise(count, generator);
    return std::pair{noise({count, 5}, Dtype::float64).to_vector<double>(),
                     noise({count, 5}, Dtype::float64).to_vector<double>()};
  };
  const auto [first, second] = draws(4000, 4);
  CHECK(first != second);
  const auto [few_first, few_second] = draws(3, 4);
  CHECK(few_first == std::vector<double>(first.begin(), first.begin() + 15));
  CHECK(few_second == std::vector<double>(second.begin(), second.begin() + 15));
  CHECK(draws(3, 5).first != few_first);
  diffusion_test::RunningMean mean, square, product;
  for (size_t i = 0; i < first.size(); ++i) {
    mean.add(first[i]);
    square.add(first[i] * first[i]);
    product.add(first[i] * second[i]);
  }
  CHECK(mean.agrees_with(0));
  CHECK(square.agrees_with(1));
  CHECK(product.agrees_with(0));
  Generator generator(4);
  const NoiseSource noise = example_noise(3, generator);
  CHECK_THROWS_AS(noise({4, 5}, Dtype::float64), Error);
  CHECK(noise({3}, Dtype::float32).dtype() == Dtype::float32);
}

}  // namespace haze
