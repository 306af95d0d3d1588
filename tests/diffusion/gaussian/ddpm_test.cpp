#include "haze/diffusion/gaussian/ddpm.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/random_times.h"

#include "diffusion/toy_language.h"

namespace haze {
namespace {

using diffusion_test::RunningMean;

constexpr double kMean = 0.7, kDeviation = 0.5;  // of the one-dimensional Gaussian data
constexpr ReverseVariance kVariances[] = {ReverseVariance::small, ReverseVariance::large};

// beta_t evenly up to 0.4.
NoiseSchedule short_schedule(int steps = 8) {
  std::vector<double> beta;
  for (int t = 1; t <= steps; ++t) beta.push_back(0.4 * t / steps);
  return noise_schedule(beta);
}

// E[noise | x_t] for data N(kMean, kDeviation^2).
NoisePredictor optimal_predictor(const NoiseSchedule& schedule) {
  return [schedule](const Tensor& x_t, const Tensor& t) {
    const std::vector<int32_t> steps = t.to_vector<int32_t>();
    std::vector<double> noise = x_t.to_vector<double>();
    for (size_t i = 0; i < noise.size(); ++i) {
      const auto step = static_cast<size_t>(steps[i]);
      const double alpha_bar = schedule.alpha_bar[step], variance = schedule.noise[step];
      noise[i] = std::sqrt(variance) * (noise[i] - std::sqrt(alpha_bar) * kMean) /
                 (alpha_bar * kDeviation * kDeviation + variance);
    }
    return Variable(cast(Tensor::from(noise, x_t.shape()), x_t.dtype()));
  };
}

// Var(x_0 | x_t) of that data.
double uncertainty_of_x_0(const NoiseSchedule& schedule, int t) {
  const double data = kDeviation * kDeviation, noise = schedule.noise[static_cast<size_t>(t)];
  return data * noise / (schedule.alpha_bar[static_cast<size_t>(t)] * data + noise);
}

double gaussian_kl(double mean_1, double variance_1, double mean_2, double variance_2) {
  return 0.5 * (std::log(variance_2 / variance_1) - 1 +
                (variance_1 + (mean_1 - mean_2) * (mean_1 - mean_2)) / variance_2);
}

// E over x_0 and x_t of term t with the optimal denoiser. mu_tilde - mu_theta = x_0_coefficient (x_0 - E[x_0
// | x_t]), and at t = 1 x_0 itself stands for mu_tilde.
double expected_term(const NoiseSchedule& schedule, ReverseVariance kind, int t) {
  const GaussianPosterior posterior = gaussian_posterior(schedule, t);
  const double error =
      posterior.x_0_coefficient * posterior.x_0_coefficient * uncertainty_of_x_0(schedule, t);
  const double variance = reverse_variance(schedule, kind, t);
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

Tensor gaussian_data(int64_t count, Generator& generator) {
  return normal({count, 1}, generator, kMean, kDeviation, Dtype::float64);
}

bool means_agree(const std::vector<double>& draws, double truth) {
  RunningMean mean;
  for (double draw : draws) mean.add(draw);
  return mean.agrees_with(truth);
}

}  // namespace

TEST_CASE("x_t has the mean and variance of q(x_t | x_0) (4 standard errors, 40,000 draws)") {
  const NoiseSchedule schedule = short_schedule();
  Generator generator(1);
  for (int t : {1, 4, 8}) {
    const Tensor x_0 = full({40000, 1}, 1.5, Dtype::float64);
    const NoisyValues noisy = add_noise(schedule, x_0, full({40000}, t, Dtype::int32), generator);
    const double mean = 1.5 * std::sqrt(schedule.alpha_bar[static_cast<size_t>(t)]);
    std::vector<double> x_t = noisy.x_t.to_vector<double>();
    CHECK(means_agree(x_t, mean));
    for (double& x : x_t) x = (x - mean) * (x - mean);
    CHECK(means_agree(x_t, schedule.noise[static_cast<size_t>(t)]));
  }
}

TEST_CASE("each step is drawn equally often, and those of a batch are evenly spread") {
  constexpr int kSteps = 7, kBatch = 5, kBatches = 14000;
  Generator generator(2);
  std::vector<std::vector<double>> counts(kBatch, std::vector<double>(kSteps + 1));
  for (int batch = 0; batch < kBatches; ++batch) {
    const std::vector<int32_t> t = draw_steps(kBatch, kSteps, true, generator);
    for (size_t i = 0; i < kBatch; ++i) ++counts[i].at(static_cast<size_t>(t[i]));
  }
  for (const std::vector<double>& of_example : counts) {
    CHECK(of_example[0] == 0);
    double chi_squared = 0;
    for (size_t t = 1; t <= kSteps; ++t) {
      const double difference = of_example[t] - kBatches / kSteps;
      chi_squared += difference * difference / (kBatches / kSteps);
    }
    CHECK(chi_squared < 22.46);  // 6 degrees of freedom, 99.9 %
  }
  const std::vector<int32_t> t = draw_steps(10 * kSteps, kSteps, true, generator);
  for (int32_t step = 1; step <= kSteps; ++step)
    CHECK(std::abs(std::count(t.begin(), t.end(), step) - 10) <= 1);
}

TEST_CASE("a term is the KL of equation 7 and equation 11 for any predictor, and the density at t = 1") {
  const NoiseSchedule schedule = short_schedule();
  Generator generator(3);
  const Tensor x_0 = normal({5, 3}, generator, 0, 1, Dtype::float64);
  for (ReverseVariance kind : kVariances) {
    for (int t = 1; t <= schedule.steps(); ++t) {
      std::vector<double> x_t, noise;
      const NoisePredictor predict = [&](const Tensor& x, const Tensor&) {
        x_t = x.to_vector<double>();
        const Tensor result = unary(UnaryOp::sin, x);
        noise = result.to_vector<double>();
        return Variable(result);
      };
      const std::vector<double> nats =
          ddpm_term_nats(predict, schedule, kind, x_0, full({5}, t, Dtype::int32), generator);
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
  const Tensor x_0 = gaussian_data(40000, generator);
  for (ReverseVariance kind : kVariances) {
    for (int t = 1; t <= schedule.steps(); ++t) {
      const std::vector<double> nats = ddpm_term_nats(optimal_predictor(schedule), schedule, kind, x_0,
                                                      full({40000}, t, Dtype::int32), generator);
      CHECK(means_agree(nats, expected_term(schedule, kind, t)));
    }
  }
}

TEST_CASE("with the optimal denoiser the bound of Gaussian data has its closed form (4 standard errors)") {
  Generator generator(5);
  for (int steps : {8, 100}) {
    const NoiseSchedule schedule = steps == 8 ? short_schedule() : linear_noise_schedule(steps);
    const Tensor x_0 = gaussian_data(40000, generator);
    for (ReverseVariance kind : kVariances) {
      const std::vector<double> nats =
          ddpm_bound_nats(optimal_predictor(schedule), schedule, kind, x_0, generator);
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

TEST_CASE("samples of the optimal denoiser have the mean and variance of its chain, and near the data's") {
  const NoiseSchedule schedule = linear_noise_schedule(50);
  constexpr int64_t kCount = 20000;
  for (ReverseVariance kind : kVariances) {
    // x_{t-1} = a x_t + b + sigma_t z is a chain of Gaussians: mean and variance follow step by step.
    double mean = 0, variance = 1;
    for (int t = 50; t >= 1; --t) {
      const auto i = static_cast<size_t>(t);
      const double total = schedule.alpha_bar[i] * kDeviation * kDeviation + schedule.noise[i];
      const double a = (1 - schedule.beta[i] / total) / std::sqrt(schedule.alpha[i]);
      const double b =
          schedule.beta[i] / total * std::sqrt(schedule.alpha_bar[i]) * kMean / std::sqrt(schedule.alpha[i]);
      mean = a * mean + b;
      variance = a * a * variance + (t > 1 ? reverse_variance(schedule, kind, t) : 0);
    }
    CHECK(mean == doctest::Approx(kMean).epsilon(0.02));
    CHECK(std::sqrt(variance) == doctest::Approx(kDeviation).epsilon(0.1));
    Generator generator(6);
    const Samples samples =
        ddpm_sample(optimal_predictor(schedule), schedule, kind, kCount, {1}, {}, generator);
    CHECK(samples.values.shape() == Shape{kCount, 1});
    CHECK(samples.network_calls == kCount * 50);
    std::vector<double> x = samples.values.to_vector<double>();
    CHECK(means_agree(x, mean));
    for (double& value : x) value = (value - mean) * (value - mean);
    CHECK(means_agree(x, variance));
  }
}

TEST_CASE("example i depends on the seed and i alone, whatever the count") {
  const NoiseSchedule schedule = short_schedule();
  const auto sample = [&](int64_t count, uint64_t seed) {
    Generator generator(seed);
    return ddpm_sample(optimal_predictor(schedule), schedule, ReverseVariance::large, count, {1}, {},
                       generator)
        .values.to_vector<double>();
  };
  const std::vector<double> all = sample(40, 7);
  for (int64_t count : {1, 3, 17})
    CHECK(sample(count, 7) == std::vector<double>(all.begin(), all.begin() + count));
  CHECK(sample(40, 8) != all);
}

TEST_CASE("the observer sees noise at time 1, each step, and the result at time 0") {
  const NoiseSchedule schedule = short_schedule();
  std::vector<double> times;
  std::vector<double> last;
  const SampleObserver observer = [&](const Snapshot& snapshot) {
    CHECK(snapshot.step == std::ssize(times));
    CHECK(snapshot.steps == 8);
    CHECK(snapshot.time.size() == 3);
    times.push_back(snapshot.time[0]);
    last = snapshot.values->to_vector<double>();
  };
  Generator generator(9);
  const Samples samples =
      ddpm_sample(optimal_predictor(schedule), schedule, ReverseVariance::small, 3, {1}, observer, generator);
  REQUIRE(times.size() == 9);
  for (size_t i = 0; i < times.size(); ++i) CHECK(times[i] == 1 - static_cast<double>(i) / 8);
  CHECK(last == samples.values.to_vector<double>());
}

}  // namespace haze
