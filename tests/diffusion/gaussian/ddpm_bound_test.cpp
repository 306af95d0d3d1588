#include "haze/diffusion/gaussian/ddpm_bound.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/discretized_gaussian.h"

#include "diffusion/gaussian/ddpm_gaussian.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr ReverseVariance kFixed[] = {ReverseVariance::small, ReverseVariance::large};
constexpr ReverseVariance kVariances[] = {ReverseVariance::small, ReverseVariance::large,
                                          ReverseVariance::learned};
constexpr Parameterisation kPredictions[] = {Parameterisation::epsilon, Parameterisation::x_0,
                                             Parameterisation::v};

// E over x_0 and x_t of term t with the optimal denoiser. mu_tilde - mu_theta = x_0_coefficient (x_0 - E[x_0
// | x_t]), and at t = 1 x_0 itself stands for mu_tilde.
double expected_term(const NoiseSchedule& schedule, ReverseVariance kind, int t) {
  const GaussianPosterior posterior = gaussian_posterior(schedule, t);
  const double error =
      posterior.x_0_coefficient * posterior.x_0_coefficient * uncertainty_of_x_0(schedule, t);
  const double variance =
      kind == ReverseVariance::learned ? optimal_variance(schedule, t) : reverse_variance(schedule, kind, t);
  if (t == 1) return 0.5 * std::log(2 * M_PI * variance) + error / (2 * variance);
  return gaussian_kl(0, posterior.variance, std::sqrt(error), variance);
}

double expected_prior(const NoiseSchedule& schedule) {
  const double alpha_bar = schedule.alpha_bar.back(), noise = schedule.noise.back();
  return gaussian_kl(0, noise, 0, 1) + 0.5 * alpha_bar * (kMean * kMean + kDeviation * kDeviation);
}

double expected_bound(const NoiseSchedule& schedule, ReverseVariance kind) {
  double sum = expected_prior(schedule);
  for (int t = 1; t <= schedule.steps(); ++t) sum += expected_term(schedule, kind, t);
  return sum;
}

const double kEntropy = 0.5 * std::log(2 * M_PI * M_E * kDeviation * kDeviation);

// Gauss-Hermite nodes and weights of a standard normal variable: exact for polynomials up to degree 5, and a
// term of Gaussian data is one of degree 2 in x_0 and in the noise.
constexpr double kNodes[] = {-1.7320508075688772, 0, 1.7320508075688772};
constexpr double kWeights[] = {1.0 / 6, 2.0 / 3, 1.0 / 6};

// x_t of this x_0 and noise at t.
NoisyValues noisy_values(const NoiseSchedule& schedule, const std::vector<double>& x_0,
                         const std::vector<double>& noise, int t) {
  const auto n = std::ssize(x_0);
  const auto i = static_cast<size_t>(t);
  NoisyValues noisy;
  noisy.x_0 = Tensor::from(x_0, {n, 1});
  noisy.noise = Tensor::from(noise, {n, 1});
  noisy.x_t = add(scale_shift(noisy.x_0, std::sqrt(schedule.alpha_bar[i]), 0),
                  scale_shift(noisy.noise, std::sqrt(schedule.noise[i]), 0));
  noisy.t = full({n}, t, Dtype::int32);
  return noisy;
}

// E over the noise of term t as the program computes it, for one x_0.
double term_at(const GaussianDiffusion& diffusion, double x_0, int t) {
  const NoisyValues noisy =
      noisy_values(diffusion.schedule, {x_0, x_0, x_0}, {kNodes[0], kNodes[1], kNodes[2]}, t);
  const DdpmPrediction prediction = optimal_network(diffusion)(noisy.x_t, noisy.t);
  const std::vector<double> nats = ddpm_terms(diffusion, prediction, noisy).value().to_vector<double>();
  return kWeights[0] * nats[0] + kWeights[1] * nats[1] + kWeights[2] * nats[2];
}

double all_terms_at(const GaussianDiffusion& diffusion, double x_0) {
  double sum = 0;
  for (int t = 1; t <= diffusion.schedule.steps(); ++t) sum += term_at(diffusion, x_0, t);
  return sum;
}

// The same, in expectation over the data.
double all_terms(const GaussianDiffusion& diffusion) {
  double sum = 0;
  for (size_t i = 0; i < 3; ++i) sum += kWeights[i] * all_terms_at(diffusion, kMean + kDeviation * kNodes[i]);
  return sum;
}

}  // namespace

TEST_CASE("a term is the KL of equation 7 and equation 11 for any predictor, and the density at t = 1") {
  const NoiseSchedule schedule = short_schedule();
  Generator generator(3);
  const Tensor x_0 = normal({5, 3}, generator, 0, 1, Dtype::float64);
  for (ReverseVariance kind : kFixed) {
    for (int t = 1; t <= schedule.steps(); ++t) {
      std::vector<double> x_t, noise;
      const DdpmNetwork predict = [&](const Tensor& x, const Tensor&) -> DdpmPrediction {
        x_t = x.to_vector<double>();
        const Tensor result = unary(UnaryOp::sin, x);
        noise = result.to_vector<double>();
        return {result, {}};
      };
      const GaussianDiffusion diffusion{.schedule = schedule, .variance = kind};
      const std::vector<double> nats =
          ddpm_term_nats(predict, diffusion, x_0, full({5}, t, Dtype::int32), generator);
      const GaussianPosterior posterior = gaussian_posterior(schedule, t);
      const double variance = reverse_variance(schedule, kind, t);
      const double beta = schedule.beta[static_cast<size_t>(t)];
      std::vector<double> expected(5);
      for (size_t i = 0; i < 15; ++i) {
        const double x = x_0.to_vector<double>()[i];
        const double mu_theta =
            (x_t[i] - beta / std::sqrt(schedule.noise[static_cast<size_t>(t)]) * noise[i]) /
            std::sqrt(1 - beta);
        const double mu_tilde = posterior.x_0_coefficient * x + posterior.x_t_coefficient * x_t[i];
        expected[i / 3] +=
            t > 1 ? gaussian_kl(mu_tilde, posterior.variance, mu_theta, variance)
                  : 0.5 * std::log(2 * M_PI * variance) + (x - mu_theta) * (x - mu_theta) / (2 * variance);
      }
      for (size_t i = 0; i < 5; ++i) CHECK(nats[i] == doctest::Approx(expected[i]).epsilon(1e-10));
    }
  }
}

TEST_CASE("the prior's term is the KL to a standard normal distribution, exactly") {
  const NoiseSchedule schedule = short_schedule(3);
  const Tensor x_0 = Tensor::from({0.5, -2.0, 0.0, 1.0}, {2, 2});
  const std::vector<double> nats = ddpm_prior_nats(schedule, x_0);
  const double scale = std::sqrt(schedule.alpha_bar.back()), noise = schedule.noise.back();
  CHECK(nats[0] ==
        doctest::Approx(gaussian_kl(scale * 0.5, noise, 0, 1) + gaussian_kl(scale * -2, noise, 0, 1)));
  CHECK(nats[1] == doctest::Approx(gaussian_kl(0, noise, 0, 1) + gaussian_kl(scale, noise, 0, 1)));
}

TEST_CASE("with the optimal denoiser each term of Gaussian data has its closed form (4 standard errors)") {
  const NoiseSchedule schedule = short_schedule();
  Generator generator(4);
  const Tensor x_0 = gaussian_examples(40000, generator);
  for (ReverseVariance kind : kVariances) {
    for (int t = 1; t <= schedule.steps(); ++t) {
      const GaussianDiffusion diffusion{.schedule = schedule, .variance = kind};
      const std::vector<double> nats = ddpm_term_nats(optimal_network(diffusion), diffusion, x_0,
                                                      full({40000}, t, Dtype::int32), generator);
      CHECK(means_agree(nats, expected_term(schedule, kind, t)));
    }
  }
}

TEST_CASE("with the optimal denoiser the bound of Gaussian data has its closed form (4 standard errors)") {
  Generator generator(5);
  for (int steps : {8, 100}) {
    const NoiseSchedule schedule = steps == 8 ? short_schedule() : linear_noise_schedule(steps);
    const Tensor x_0 = gaussian_examples(40000, generator);
    for (ReverseVariance kind : kVariances) {
      const GaussianDiffusion diffusion{.schedule = schedule, .variance = kind};
      const std::vector<double> nats = ddpm_bound_nats(optimal_network(diffusion), diffusion, x_0, generator);
      CHECK(means_agree(nats, expected_bound(schedule, kind)));
      CHECK(expected_bound(schedule, kind) > kEntropy);
    }
  }
}

TEST_CASE("the bound of the optimal denoiser falls towards the entropy of the data as steps become finer") {
  const auto gap = [](int steps) {
    return expected_bound(linear_noise_schedule(steps), ReverseVariance::large) - kEntropy;
  };
  CHECK(gap(100) > gap(1000));
  CHECK(gap(1000) > gap(10000));
  CHECK(gap(1000) < 0.05);
  CHECK(gap(10000) > 0);
}

TEST_CASE(
    "with the optimal variance and the prior q(x_T) the bound of Gaussian data is their entropy, in each "
    "parameterisation") {
  const NoiseSchedule schedules[] = {short_schedule(), linear_noise_schedule(100), cosine_noise_schedule(50),
                                     sqrt_noise_schedule(50)};
  for (const NoiseSchedule& schedule : schedules) {
    const double alpha_bar = schedule.alpha_bar.back(), noise = schedule.noise.back();
    const double data = kDeviation * kDeviation;
    // E over x_0 of KL(q(x_T | x_0) || q(x_T)); the squared difference of the means is alpha_bar data.
    const double prior = gaussian_kl(0, noise, std::sqrt(alpha_bar * data), alpha_bar * data + noise);
    for (Parameterisation kind : kPredictions) {
      const GaussianDiffusion diffusion{schedule, kind, ReverseVariance::learned};
      CHECK(std::abs(prior + all_terms(diffusion) - kEntropy) < 1e-8);
    }
  }
}

TEST_CASE("with a fixed variance the gap of the bound is the sum of KL(q(x_{t-1} | x_t) || p_theta)") {
  for (const NoiseSchedule& schedule : {short_schedule(), linear_noise_schedule(100)}) {
    for (Parameterisation kind : kPredictions) {
      const double best = all_terms({schedule, kind, ReverseVariance::learned});
      for (ReverseVariance variance : kFixed) {
        double gap = 0;  // both have the same mean
        for (int t = 1; t <= schedule.steps(); ++t)
          gap += gaussian_kl(0, optimal_variance(schedule, t), 0, reverse_variance(schedule, variance, t));
        CHECK(all_terms({schedule, kind, variance}) - best == doctest::Approx(gap).epsilon(1e-9));
        CHECK(gap > 0);
      }
    }
  }
}

TEST_CASE("for each x_0 the bound is at least -log p_theta(x_0) of the chain of Gaussians") {
  const NoiseSchedule schedule = short_schedule(12);
  for (ReverseVariance kind : kVariances) {
    const GaussianDiffusion diffusion{.schedule = schedule, .variance = kind};
    double mean = 0, variance = 1;  // of p_theta(x_t), from t = T down to 0
    for (int t = schedule.steps(); t >= 1; --t) {
      const auto [a, b] = optimal_reverse_mean(schedule, t);
      mean = a * mean + b;
      variance = a * a * variance + (kind == ReverseVariance::learned ? optimal_variance(schedule, t)
                                                                      : reverse_variance(schedule, kind, t));
    }
    for (const double x_0 : {-1.0, 0.0, 0.7, 0.9, 2.5}) {
      const double nats = 0.5 * std::log(2 * M_PI * variance) + (x_0 - mean) * (x_0 - mean) / (2 * variance);
      const double prior = ddpm_prior_nats(schedule, Tensor::from({x_0}, {1, 1}))[0];
      CHECK(prior >= 0);
      CHECK(prior + all_terms_at(diffusion, x_0) >= nats);
    }
  }
}

TEST_CASE(
    "no KL is negative, and one is 0 where the network knows the noise and has the posterior's variance") {
  const NoiseSchedule schedule = linear_noise_schedule(100);
  Generator generator(6);
  for (Parameterisation kind : kPredictions) {
    const GaussianDiffusion small{schedule, kind, ReverseVariance::small};
    for (int t = 2; t <= 100; t += 7) {
      const NoisyValues noisy = noisy_values(schedule, {0.3, -1.2}, {0.8, -0.1}, t);
      const Variable truth = prediction_target(small, noisy);
      for (double nats : ddpm_terms(small, {truth, {}}, noisy).value().to_vector<double>()) CHECK(nats == 0);
      const GaussianDiffusion learned{schedule, kind, ReverseVariance::learned};
      const DdpmPrediction any{truth + Variable(normal({2, 1}, generator, 0, 0.01, Dtype::float64)),
                               normal({2, 1}, generator, 0, 1, Dtype::float64)};
      for (double nats : ddpm_terms(learned, any, noisy).value().to_vector<double>()) CHECK(nats > 0);
    }
  }
}

TEST_CASE("a learned variance with share 0 is the small one, with share 1 the large one") {
  const NoiseSchedule schedule = cosine_noise_schedule(20);
  for (int t = 1; t <= 20; ++t) {
    const NoisyValues noisy = noisy_values(schedule, {0.3, -1.2}, {0.8, -0.1}, t);
    const Variable prediction = unary(UnaryOp::sin, noisy.x_t);
    for (const auto& [share, variance] :
         {std::pair{0.0, ReverseVariance::small}, {1.0, ReverseVariance::large}}) {
      const Tensor shares = full({2, 1}, share, Dtype::float64);
      const auto learned = ddpm_terms({.schedule = schedule, .variance = ReverseVariance::learned},
                                      {prediction, shares}, noisy)
                               .value()
                               .to_vector<double>();
      const auto fixed = ddpm_terms({.schedule = schedule, .variance = variance}, {prediction, {}}, noisy)
                             .value()
                             .to_vector<double>();
      for (size_t i = 0; i < 2; ++i) CHECK(learned[i] == doctest::Approx(fixed[i]).epsilon(1e-12));
    }
  }
  const NoisyValues noisy = noisy_values(schedule, {0.3}, {0.8}, 3);
  CHECK_THROWS_WITH_AS(
      ddpm_terms({.schedule = schedule, .variance = ReverseVariance::learned}, {noisy.noise, {}}, noisy),
      "ddpm: the network learns no variance", Error);
}

TEST_CASE("terms are the same in one batch of all t and in a loop over them, of points and of images") {
  const NoiseSchedule schedule = linear_noise_schedule(30);
  for (int64_t levels : {0, 256}) {
    const GaussianDiffusion diffusion{schedule, Parameterisation::v, ReverseVariance::learned, levels};
    NoisyValues all;
    std::vector<double> in_loop;
    std::vector<Tensor> x_0, x_t, noise;
    for (int t = 1; t <= 30; ++t) {
      const NoisyValues noisy = noisy_values(schedule, {0.2, -0.6}, {0.4 - 0.1 * t, 1.3}, t);
      const DdpmPrediction prediction = optimal_network(diffusion)(noisy.x_t, noisy.t);
      for (double nats : ddpm_terms(diffusion, prediction, noisy).value().to_vector<double>())
        in_loop.push_back(nats);
      x_0.push_back(noisy.x_0);
      x_t.push_back(noisy.x_t);
      noise.push_back(noisy.noise);
    }
    all.x_0 = concat(x_0, 0);
    all.x_t = concat(x_t, 0);
    all.noise = concat(noise, 0);
    std::vector<int32_t> t;
    for (int32_t step = 1; step <= 30; ++step) t.insert(t.end(), 2, step);
    all.t = Tensor::from(t, {60});
    const DdpmPrediction prediction = optimal_network(diffusion)(all.x_t, all.t);
    const auto batched = ddpm_terms(diffusion, prediction, all).value().to_vector<double>();
    for (size_t i = 0; i < 60; ++i) CHECK(batched[i] == doctest::Approx(in_loop[i]).epsilon(1e-12));
  }
}

TEST_CASE(
    "of images the term of t = 1 is the discretised Gaussian around the predicted x_0, kept in [-1, 1]") {
  const NoiseSchedule schedule = linear_noise_schedule(50);
  Generator generator(7);
  const Tensor x_0 = Tensor::from({-1.0, -1 + 2 * 100 / 255.0, 1.0, 0.2 / 51}, {2, 2});
  for (Parameterisation kind : kPredictions) {
    for (ReverseVariance variance : kFixed) {
      const GaussianDiffusion diffusion{schedule, kind, variance, 256};
      Tensor mean;
      const DdpmNetwork network = [&](const Tensor& x_t, const Tensor& t) -> DdpmPrediction {
        const Variable prediction = unary(UnaryOp::sin, scale_shift(x_t, 1, 0.1));
        mean = unary(UnaryOp::clamp, predicted_x_0(diffusion, prediction, x_t, t).value(), -1, 1);
        return {prediction, {}};
      };
      const auto nats = ddpm_term_nats(network, diffusion, x_0, ones({2}, Dtype::int32), generator);
      const double log_variance = std::log(reverse_variance(schedule, variance, 1, 256));
      for (size_t i = 0; i < 2; ++i) {
        double expected = 0;
        for (size_t k = 2 * i; k < 2 * i + 2; ++k) {
          expected +=
              discretized_gaussian(x_0.to_vector<double>()[k], mean.to_vector<double>()[k], log_variance, 256)
                  .nats;
        }
        CHECK(nats[i] == doctest::Approx(expected).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("the bound's estimate has the mean of all terms, and a third of the error of one uniform t") {
  const GaussianDiffusion diffusion{.schedule = linear_noise_schedule(100)};
  Generator generator(8);
  const Tensor x_0 = gaussian_examples(4000, generator);
  const auto one_term_of_all = [&] {  // T times the term of one t in 1..T
    const Tensor t = spread_steps(4000, diffusion.schedule, generator);
    std::vector<double> nats = ddpm_term_nats(optimal_network(diffusion), diffusion, x_0, t, generator);
    for (double& value : nats) value *= 100;
    return nats;
  };
  RunningMean chosen, uniform;
  for (double nats : ddpm_bound_nats(optimal_network(diffusion), diffusion, x_0, generator)) chosen.add(nats);
  for (double nats : one_term_of_all()) uniform.add(nats);
  CHECK(chosen.agrees_with(expected_bound(diffusion.schedule, ReverseVariance::large)));
  CHECK(chosen.standard_error() < 0.4 * uniform.standard_error());
  const std::vector<double> p = bound_step_probabilities(diffusion.schedule);
  CHECK(p.size() == 100);
  CHECK(p[0] == 0);
  CHECK(std::accumulate(p.begin(), p.end(), 0.0) == doctest::Approx(1).epsilon(1e-12));
  CHECK(*std::min_element(p.begin() + 1, p.end()) >= 0.25 / 99);
}

}  // namespace haze
