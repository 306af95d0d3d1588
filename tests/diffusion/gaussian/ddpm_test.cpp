#include "haze/diffusion/gaussian/ddpm.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/random_times.h"

#include "diffusion/gaussian/ddpm_gaussian.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr ReverseVariance kVariances[] = {ReverseVariance::small, ReverseVariance::large};

}  // namespace

TEST_CASE("the large variance at t = 1 is beta_1 of points, and of images the posterior's of t = 2") {
  // Of the square-root schedule with T = 2000. The reference code's log variances of FIXED_LARGE are
  // -5.191831 and -4.722931, and its posterior variance of t = 2 is 0.0055618163.
  const NoiseSchedule schedule = sqrt_noise_schedule(2000);
  CHECK(std::log(reverse_variance(schedule, ReverseVariance::large, 1, 256)) ==
        doctest::Approx(-5.191831).epsilon(1e-7));
  CHECK(reverse_variance(schedule, ReverseVariance::small, 1) == doctest::Approx(0.0055618163).epsilon(1e-8));
  // beta_1 = 1 - f(1) / f(0) with f(t) = 1 - sqrt(t / T + 1e-4).
  CHECK(reverse_variance(schedule, ReverseVariance::large, 1) ==
        doctest::Approx(1 - (1 - std::sqrt(0.0006)) / 0.99).epsilon(1e-12));
  for (const int64_t levels : {0, 256}) {
    CHECK(std::log(reverse_variance(schedule, ReverseVariance::large, 2, levels)) ==
          doctest::Approx(-4.722931).epsilon(1e-7));
    CHECK(reverse_variance(schedule, ReverseVariance::small, 1, levels) ==
          reverse_variance(schedule, ReverseVariance::small, 2));
  }
}

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

TEST_CASE("samples of the optimal denoiser have the mean and variance of its chain, and near the data's") {
  const NoiseSchedule schedule = linear_noise_schedule(50);
  constexpr int64_t kCount = 20000;
  for (ReverseVariance kind : kVariances) {
    // x_{t-1} = a x_t + b + sigma_t z is a chain of Gaussians: mean and variance follow step by step.
    double mean = 0, variance = 1;
    for (int t = 50; t >= 1; --t) {
      const auto [a, b] = optimal_reverse_mean(schedule, t);
      mean = a * mean + b;
      variance = a * a * variance + (t > 1 ? reverse_variance(schedule, kind, t) : 0);
    }
    CHECK(mean == doctest::Approx(kMean).epsilon(0.02));
    CHECK(std::sqrt(variance) == doctest::Approx(kDeviation).epsilon(0.1));
    Generator generator(6);
    const Samples samples = ddpm_sample(optimal_network({schedule}), {.schedule = schedule, .variance = kind},
                                        kCount, {1}, {}, generator);
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
    return ddpm_sample(optimal_network({schedule}), {schedule}, count, {1}, {}, generator)
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
  const Samples samples = ddpm_sample(optimal_network({schedule}), {schedule}, 3, {1}, observer, generator);
  REQUIRE(times.size() == 9);
  for (size_t i = 0; i < times.size(); ++i) CHECK(times[i] == 1 - static_cast<double>(i) / 8);
  CHECK(last == samples.values.to_vector<double>());
}

}  // namespace haze
