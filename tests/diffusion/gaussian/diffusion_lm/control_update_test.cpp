#include "haze/diffusion/gaussian/diffusion_lm/control_update.h"

#include <cmath>

#include <doctest/doctest.h>

namespace haze {
namespace {

const NoiseLevel kLevel{.alpha = 0.9, .sigma = std::sqrt(1 - 0.81), .time = 0.2};

// log p(c | x) = -|x - 2|^2 of each example.
Variable towards_two(const Variable& x, const NoiseLevel&) {
  return sum(square(x - 2), {1}) * -1;
}

// d/dx of |x - 2|^2 + lambda (mean - x)^2 / sigma.
double gradient_at(double x, double mean, double sigma, double lambda) {
  return 2 * (x - 2) + 2 * lambda * (x - mean) / sigma;
}

const Tensor kSampled = Tensor::from(std::vector<double>{0.53, 3.01, 1.87, 2.24}, {2, 2});
const ReverseStep kStep{Tensor::from(std::vector<double>{0.1, 3.4, 2, 2.1}, {2, 2}),
                        full({1}, 0.5, Dtype::float64)};

// Two clusters of the line, -1 and 1, with deviation 0.1, each as likely as the other.
constexpr double kSpread = 0.1;

// p(the right cluster | x) is the sigmoid of this.
Variable right_logit(const Variable& x, const NoiseLevel& level) {
  const double variance = level.alpha * level.alpha * kSpread * kSpread + level.sigma * level.sigma;
  return x * (2 * level.alpha / variance);
}

// E[x_0 | x].
Denoised two_clusters(const Tensor& x, const NoiseLevel& level) {
  const double variance = level.alpha * level.alpha * kSpread * kSpread + level.sigma * level.sigma;
  const double gain = level.alpha * kSpread * kSpread / variance;
  const Tensor center = scale_shift(unary(UnaryOp::sigmoid, right_logit(x, level).value()), 2, -1);
  const Tensor x_0 = add(scale_shift(center, 1 - gain * level.alpha, 0), scale_shift(x, gain, 0));
  return denoised_from(Parameterisation::x_0, x_0, x, level);
}

}  // namespace

TEST_CASE("with a new Adagrad for each update, x moves by the step size against the gradient's sign") {
  for (const double fluency : {0.0, 0.3}) {
    const ControlOptions options{.updates = 3, .step_size = 0.1, .fluency = fluency};
    const std::vector<double> moved =
        control_update(kSampled, kStep, kLevel, towards_two, options).to_vector<double>();
    const std::vector<double> mean = kStep.mean.to_vector<double>();
    std::vector<double> x = kSampled.to_vector<double>();
    for (int k = 0; k < 3; ++k) {
      for (size_t i = 0; i < x.size(); ++i)
        x[i] -= std::copysign(0.1, gradient_at(x[i], mean[i], 0.5, fluency));
    }
    for (size_t i = 0; i < x.size(); ++i) CHECK(moved[i] == doctest::Approx(x[i]).epsilon(1e-8));
  }
}

TEST_CASE("one Adagrad for all updates divides by the root of the sum of squared gradients") {
  const ControlOptions options{
      .updates = 4, .step_size = 0.2, .fluency = 0.3, .adagrad = AdagradUse::all_updates};
  const std::vector<double> moved =
      control_update(kSampled, kStep, kLevel, towards_two, options).to_vector<double>();
  const std::vector<double> mean = kStep.mean.to_vector<double>();
  std::vector<double> x = kSampled.to_vector<double>(), sums(x.size());
  for (int k = 0; k < 4; ++k) {
    for (size_t i = 0; i < x.size(); ++i) {
      const double g = gradient_at(x[i], mean[i], 0.5, 0.3);
      sums[i] += g * g;
      x[i] -= 0.2 * g / (std::sqrt(sums[i]) + 1e-10);
    }
  }
  for (size_t i = 0; i < x.size(); ++i) CHECK(moved[i] == doctest::Approx(x[i]).epsilon(1e-9));
}

TEST_CASE("without a deviation the distance to the mean is divided by 1, and with no update nothing moves") {
  const ReverseStep certain{kStep.mean, {}};
  const ReverseStep one{kStep.mean, full({1}, 1, Dtype::float64)};
  const ControlOptions options{.step_size = 0.05, .fluency = 2, .adagrad = AdagradUse::all_updates};
  CHECK(control_update(kSampled, certain, kLevel, towards_two, options).to_vector<double>() ==
        control_update(kSampled, one, kLevel, towards_two, options).to_vector<double>());
  CHECK(control_update(kSampled, kStep, kLevel, towards_two, {.updates = 0}).to_vector<double>() ==
        kSampled.to_vector<double>());
  CHECK_THROWS_WITH(control_update(kSampled, kStep, kLevel, towards_two, {.step_size = 0}),
                    "control_update: 3 updates of size 0 with lambda 0.01");
}

TEST_CASE("an example moves as it does alone, and what was sampled stays as it is") {
  const std::vector<double> before = kSampled.to_vector<double>();
  const std::vector<double> both =
      control_update(kSampled, kStep, kLevel, towards_two, {}).to_vector<double>();
  const ReverseStep first{slice(kStep.mean, 0, 0, 1), kStep.deviation};
  const std::vector<double> alone =
      control_update(slice(kSampled, 0, 0, 1), first, kLevel, towards_two, {}).to_vector<double>();
  CHECK(alone == std::vector<double>(both.begin(), both.begin() + 2));
  CHECK(kSampled.to_vector<double>() == before);
}

TEST_CASE("control leads nearly all samples to the cluster that is wanted, and keeps them in it") {
  const std::vector<NoiseLevel> levels = strided_levels(cosine_noise_schedule(200), 100);
  constexpr int64_t kCount = 400;
  const LogProbability right = [](const Variable& x, const NoiseLevel& level) {
    // log sigmoid(l) = -log(1 + e^-l), by the stable log_softmax of (l, 0).
    const Variable l = right_logit(x, level);
    return reshape(slice(log_softmax(concat({l, Variable(zeros_like(l.value()))}, 1)), 1, 0, 1), {x.size(0)});
  };
  const auto share = [&](const LogProbability& control, AdagradUse adagrad) {
    Generator generator(1);
    const NoiseSource noise = example_noise(kCount, generator);
    const Tensor x = noise({kCount, 1}, Dtype::float64);
    const Tensor samples = controlled_ancestral_sample(two_clusters, levels, ReverseVariance::small, control,
                                                       {.step_size = 0.05, .adagrad = adagrad}, x, noise);
    double near = 0;
    for (const double value : samples.to_vector<double>()) near += std::abs(value - 1) < 5 * kSpread;
    return near / kCount;
  };
  CHECK(std::abs(share({}, AdagradUse::each_update) - 0.5) < 0.1);  // 4 standard errors
  for (const AdagradUse adagrad : {AdagradUse::each_update, AdagradUse::all_updates}) {
    MESSAGE(share(right, adagrad), " near the wanted cluster");
    CHECK(share(right, adagrad) > 0.95);
  }
}

TEST_CASE("without control the sampler is the ancestral one, bit for bit") {
  const std::vector<NoiseLevel> levels = strided_levels(cosine_noise_schedule(50), 10);
  const auto draw = [&](bool controlled) {
    Generator generator(2);
    const NoiseSource noise = example_noise(5, generator);
    const Tensor x = noise({5, 1}, Dtype::float64);
    return (controlled
                ? controlled_ancestral_sample(two_clusters, levels, ReverseVariance::small, {}, {}, x, noise)
                : ancestral_sample(two_clusters, levels, ReverseVariance::small, x, noise))
        .to_vector<double>();
  };
  CHECK(draw(true) == draw(false));
}

}  // namespace haze
