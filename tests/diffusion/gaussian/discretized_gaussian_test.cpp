#include "haze/diffusion/gaussian/discretized_gaussian.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/autograd/gradcheck.h"
#include "haze/engine/cpu/parallel.h"

namespace haze {
namespace {

// log(Phi(high) - Phi(low)) from differences of erfc in long double, which reaches down to e^-11000.
double brute_force(double low, double high) {
  if (low + high > 0) return brute_force(-high, -low);
  const auto below = [](long double z) { return 0.5L * std::erfc(-z / std::sqrt(2.0L)); };
  const long double outside = below(low) + below(-high);
  const long double inside = below(high) - below(low);
  return static_cast<double>(outside < 0.5L ? std::log1p(-outside) : std::log(inside));
}

}  // namespace

TEST_CASE("the log probability of an interval is that of erfc in long double, far out in both tails") {
  for (const double width : {1e-3, 0.01, 0.3, 2.0, 8.0}) {
    for (double low = -120; low < 90; low += 0.37) {
      const double expected = brute_force(low, low + width);
      CHECK(std::abs(log_normal_interval(low, low + width) / expected - 1) < 1e-10);
      CHECK(log_normal_interval(-low - width, -low) == doctest::Approx(expected).epsilon(1e-12));
    }
  }
  for (double end = -120; end < 8; end += 0.61) {
    CHECK(std::abs(log_normal_interval(-INFINITY, end) / brute_force(-INFINITY, end) - 1) < 1e-11);
    CHECK(log_normal_interval(-end, INFINITY) == log_normal_interval(-INFINITY, end));
  }
  CHECK(log_normal_interval(-INFINITY, INFINITY) == 0);
}

TEST_CASE("the probabilities of all levels sum to one, for narrow and wide variances inside and outside") {
  for (const int64_t levels : {2, 3, 256}) {
    for (const double mean : {-1.7, -1.0, -0.3, 0.001, 0.999, 2.5}) {
      for (const double deviation : {1e-3, 0.01, 0.2, 3.0}) {
        double sum = 0;
        for (int64_t k = 0; k < levels; ++k) {
          const double x = -1 + 2 * static_cast<double>(k) / static_cast<double>(levels - 1);
          sum += std::exp(-discretized_gaussian(x, mean, 2 * std::log(deviation), levels).nats);
        }
        CHECK(sum == doctest::Approx(1).epsilon(1e-11));
      }
    }
  }
}

TEST_CASE("a level's bin is 2/255 wide, and float32 images belong to the same bins") {
  const double deviation = 0.1, x = -1 + 2 * 77 / 255.0;
  const double expected =
      -brute_force((x - 1 / 255.0 - 0.05) / deviation, (x + 1 / 255.0 - 0.05) / deviation);
  CHECK(discretized_gaussian(x, 0.05, 2 * std::log(deviation), 256).nats ==
        doctest::Approx(expected).epsilon(1e-11));
  for (int k = 0; k < 256; ++k) {
    const double exact = -1 + 2 * k / 255.0;
    CHECK(discretized_gaussian(static_cast<double>(static_cast<float>(exact)), 0.3, -4, 256).nats ==
          discretized_gaussian(exact, 0.3, -4, 256).nats);
  }
  CHECK_THROWS_WITH_AS(discretized_gaussian(0, 0, 0, 1),
                       "discretized_gaussian: 1 levels; at least 2 are needed", Error);
}

TEST_CASE("its derivatives are those of central differences, at open ends and in the tails too") {
  for (const double x : {-1.0, -1 + 2 * 40 / 255.0, 1.0}) {
    for (const double mean : {-1.4, -0.7, 0.2, 1.0}) {
      for (const double log_variance : {-9.0, -4.0, 0.5}) {
        const auto at = [&](double m, double v) { return discretized_gaussian(x, m, v, 256); };
        const DiscretizedGaussian here = at(mean, log_variance);
        constexpr double kStep = 1e-6;
        const double by_mean =
            (at(mean + kStep, log_variance).nats - at(mean - kStep, log_variance).nats) / (2 * kStep);
        const double by_variance =
            (at(mean, log_variance + kStep).nats - at(mean, log_variance - kStep).nats) / (2 * kStep);
        CHECK(here.by_mean == doctest::Approx(by_mean).epsilon(1e-4));
        CHECK(here.by_log_variance == doctest::Approx(by_variance).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("the operation on tensors has those values and gives those derivatives to backward") {
  const Tensor x = Tensor::from({-1.0, -1 + 2 * 40 / 255.0, 1.0, 1.0}, {2, 2});
  const Variable mean = Variable::leaf(Tensor::from({-0.9, 0.2, 0.3, 1.1}, {2, 2}));
  const Variable log_variance = Variable::leaf(Tensor::from({-2.0, -5.0}, {2, 1}));
  const Variable nats = discretized_gaussian_nats(x, mean, log_variance, 256);
  backward(sum(nats));
  const std::vector<double> by_mean = mean.gradient().to_vector<double>();
  const std::vector<double> by_log_variance = log_variance.gradient().to_vector<double>();
  for (size_t i = 0; i < 2; ++i) {
    double both = 0;
    for (size_t k = 2 * i; k < 2 * i + 2; ++k) {
      const DiscretizedGaussian expected =
          discretized_gaussian(x.to_vector<double>()[k], mean.value().to_vector<double>()[k],
                               log_variance.value().to_vector<double>()[i], 256);
      CHECK(nats.value().to_vector<double>()[k] == doctest::Approx(expected.nats).epsilon(1e-13));
      CHECK(by_mean[k] == doctest::Approx(expected.by_mean).epsilon(1e-13));
      both += expected.by_log_variance;
    }
    CHECK(by_log_variance[i] == doctest::Approx(both).epsilon(1e-13));
  }
}

TEST_CASE("the operation on tensors has second derivatives that agree with differences of the first") {
  // Inside, outside and far out, on both sides; open bins with the mean on both sides; a mean on a level.
  const std::vector<double> levels_x = {
      -1.0, -1.0, 1.0, 1.0, -1 + 2 * 40 / 255.0, 0.2, 0.2, -1 + 2 * 100 / 255.0};
  const std::vector<double> means = {-1.4, -0.2, 0.7, 1.3, 0.6, 0.201, -0.9, -1 + 2 * 100 / 255.0};
  const auto count = static_cast<int64_t>(means.size());
  const Tensor x = Tensor::from(levels_x, {count});
  for (const double log_variance : {-11.0, -7.0, -2.0, 1.0}) {
    CAPTURE(log_variance);
    const GradcheckResult result = gradcheck_second(
        [&](const std::vector<Variable>& in) { return discretized_gaussian_nats(x, in[0], in[1], 256); },
        {Tensor::from(means, {count}), full({count}, log_variance, Dtype::float64)});
    CHECK_MESSAGE(result.passed, result.message);
  }
}

TEST_CASE(
    "the operation on tensors has the scalar's digits, and no NaN in any derivative, in both far tails") {
  for (const int64_t levels : {2, 256}) {
    for (const double level : {-1.0, -1 + 2 / 255.0, 1 - 2 / 255.0, 1.0}) {
      for (const double log_variance : {-40.0, -14.0, -4.0, 3.0}) {
        for (const double at : {-30.0, -1.001, -1.0, 1 - 2 / 255.0, 1.0, 30.0}) {
          CAPTURE(level);
          CAPTURE(log_variance);
          CAPTURE(at);
          const Variable mean = Variable::leaf(full({1}, at, Dtype::float64));
          const Variable spread = Variable::leaf(full({1}, log_variance, Dtype::float64));
          const Variable nats =
              sum(discretized_gaussian_nats(full({1}, level, Dtype::float64), mean, spread, levels));
          const Gradients first = gradient(nats, {mean, spread}, {.create_graph = true});
          const DiscretizedGaussian expected = discretized_gaussian(level, at, log_variance, levels);
          CHECK(nats.value().item() == doctest::Approx(expected.nats).epsilon(1e-9));
          const double by_mean = first[0].value().item(), by_spread = first[1].value().item();
          if (expected.nats < 1e7) {
            CHECK(by_mean == doctest::Approx(expected.by_mean).epsilon(1e-7));
            CHECK(by_spread == doctest::Approx(expected.by_log_variance).epsilon(1e-7));
          } else {  // the near edge is all that counts, and nats are half its square
            CHECK(
                std::abs(by_mean) ==
                doctest::Approx(std::sqrt(2 * expected.nats) * std::exp(-0.5 * log_variance)).epsilon(1e-6));
            CHECK(by_spread == doctest::Approx(-expected.nats).epsilon(1e-6));
          }
          for (const Variable& slope : first) {
            for (const Variable& second : gradient(sum(slope), {mean, spread}, {.retain_graph = true})) {
              CHECK(std::isfinite(second.value().item()));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("the operation on tensors gives the same bits with every number of threads, of strided means too") {
  Generator generator(3);
  const Tensor x = uniform({60, 50}, generator, -1, 1), wide = normal({50, 60}, generator);
  const Tensor log_variance = normal({1, 50}, generator, -3);
  const auto nats_with = [&](int count) {
    const int before = threads();
    set_threads(count);
    const Tensor nats =
        discretized_gaussian_nats(x, Variable(transpose(wide, 0, 1)), log_variance, 256).value();
    set_threads(before);
    return nats.to_vector<float>();
  };
  const std::vector<float> one = nats_with(1);
  CHECK(nats_with(3) == one);
  for (const int64_t i : {0, 7, 59}) {
    const double expected =
        discretized_gaussian(x.at({i, 3}), wide.at({3, i}), log_variance.at({0, 3}), 256).nats;
    CHECK(one[static_cast<size_t>(i * 50 + 3)] == doctest::Approx(expected).epsilon(1e-6));
  }
}

}  // namespace haze
