#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/score_sde.h"
#include "haze/nn/mlp_network.h"

#include "nn/networks.h"
#include "normal_data.h"

namespace haze {
namespace {

using testing::NormalData;

Tensor some_points(int64_t count, Dtype dtype = Dtype::float64) {
  Generator generator(3);
  return normal({count, 2}, generator, 0, 1, dtype);
}

Tensor points_of(const NormalData& data, int64_t count) {
  const std::vector<double> deviations = {std::sqrt(data.variance[0]), std::sqrt(data.variance[1])};
  const Tensor z = multiply(some_points(count), Tensor::from(deviations, {1, 2}));
  const Tensor mean = Tensor::from(std::vector<double>{data.mean[0], data.mean[1]}, {1, 2});
  return add(matmul(z, transpose(data.axes())), mean);
}

// Where the flow takes a point of normal data: along each axis, (x - mean) / deviation stays.
std::vector<double> mapped(const NormalData& data, const NoiseLevel& from, const NoiseLevel& to,
                           const std::vector<double>& x) {
  const double c = std::cos(data.angle), s = std::sin(data.angle);
  const double dx = x[0] - from.alpha * data.mean[0], dy = x[1] - from.alpha * data.mean[1];
  const double along = (c * dx + s * dy) * std::sqrt(data.variance_at(to)[0] / data.variance_at(from)[0]);
  const double across = (-s * dx + c * dy) * std::sqrt(data.variance_at(to)[1] / data.variance_at(from)[1]);
  return {to.alpha * data.mean[0] + c * along - s * across, to.alpha * data.mean[1] + s * along + c * across};
}

// A smooth network of random weights, float64: any will do, its flow has a density.
class RandomNetwork {
 public:
  RandomNetwork() : generator_(5), network_({.width = 2, .hidden = 8, .layers = 1}, generator_) {
    network_.to(Dtype::float64);
    nn_test::randomise(network_, 7, 0.3);
  }
  ContinuousNoisePredictor predictor(const Sde& sde) const {
    const auto slow = [this](const Variable& x, const Tensor& t) {
      return network_.forward(x, scale_shift(t, 0.01, 0), {});
    };
    return preconditioned(slow, sde);
  }

 private:
  Generator generator_;
  MlpNetwork network_;
};

}  // namespace

TEST_CASE("probability flow of normal data maps points as the closed form does, in both directions") {
  const NormalData data;
  for (const Sde& sde : testing::all_sdes()) {
    const NoiseLevel data_end = sde_level(sde, 1e-3), noise_end = sde_level(sde, 1);
    const Tensor x = some_points(20);
    const Tensor noise = probability_flow(data.predictor(sde), sde, 1e-3, 1, x, {1e-8, 1e-8}).values;
    const Tensor back = probability_flow(data.predictor(sde), sde, 1, 1e-3, noise, {1e-8, 1e-8}).values;
    const std::vector<double> at = x.to_vector<double>(), there = noise.to_vector<double>();
    CHECK(nn_test::largest_difference(back.to_vector<double>(), at) < 1e-5);
    for (size_t i = 0; i < at.size(); i += 2) {
      const std::vector<double> truth = mapped(data, data_end, noise_end, {at[i], at[i + 1]});
      CHECK(there[i] == doctest::Approx(truth[0]).epsilon(1e-5));
      CHECK(there[i + 1] == doctest::Approx(truth[1]).epsilon(1e-5));
    }
  }
}

TEST_CASE("probability flow: -log p of normal data is right to 1e-4 nats") {
  const NormalData data;
  Generator generator(4);
  // beta up to 60 leaves no more of the start than e^{-15}: N(0, I) is p_T to within 1e-6 nats.
  for (SdeKind kind : {SdeKind::variance_preserving, SdeKind::sub_variance_preserving}) {
    const Sde sde{.kind = kind, .beta_max = 60};
    const Tensor x = points_of(data, 50);
    const std::vector<double> at = x.to_vector<double>();
    const LikelihoodResult result =
        probability_flow_nats(data.predictor(sde), sde, x, TraceEstimate::exact, generator, {1e-7, 1e-7});
    for (size_t i = 0; i < result.nats.size(); ++i)
      CHECK(std::abs(result.nats[i] - data.nats(sde_level(sde, kLikelihoodStart), at[2 * i], at[2 * i + 1])) <
            1e-4);
  }
}

TEST_CASE(
    "probability flow: -log p is that of the prior pulled back, to 1e-3 nats with the paper's tolerance") {
  const NormalData data;
  Generator generator(4);
  const Tensor x = points_of(data, 50);
  const std::vector<double> at = x.to_vector<double>();
  for (const Sde& sde : testing::all_sdes()) {
    const LikelihoodResult result =
        probability_flow_nats(data.predictor(sde), sde, x, TraceEstimate::exact, generator);
    const NoiseLevel start = sde_level(sde, kLikelihoodStart), end = sde_level(sde, 1);
    // p_T is the prior but nearly: what they differ by is no error of the integration.
    const double prior = prior_deviation(sde) * prior_deviation(sde);
    double worst = 0;
    for (size_t i = 0; i < result.nats.size(); ++i) {
      const std::vector<double> there = mapped(data, start, end, {at[2 * i], at[2 * i + 1]});
      const double square = there[0] * there[0] + there[1] * there[1];
      const double of_prior = std::log(2 * M_PI * prior) + square / (2 * prior);
      const double truth =
          data.nats(start, at[2 * i], at[2 * i + 1]) + of_prior - data.nats(end, there[0], there[1]);
      worst = std::max(worst, std::abs(result.nats[i] - truth));
    }
    MESSAGE("SDE ", static_cast<int>(sde.kind), ": largest error ", worst, " nats, ", result.calls, " calls");
    CHECK(worst < 1e-3);
  }
}

TEST_CASE("probability flow: the exact trace is the sum of the diagonal of the Jacobian by differences") {
  const RandomNetwork network;
  const Tensor x = some_points(4);
  const std::vector<double> times = {0.1, 0.5, 0.7, 1};
  const Divergence result = divergence_of(network.predictor({}), x, times);
  const double h = 1e-5;
  std::vector<double> sums(4, 0);
  for (int64_t k = 0; k < 2; ++k) {
    const Tensor step = zeros({4, 2}, Dtype::float64);
    fill(slice(step, 1, k, k + 1), h);
    const std::vector<double> up = network.predictor({})(add(x, step), times).value().to_vector<double>();
    const std::vector<double> down =
        network.predictor({})(subtract(x, step), times).value().to_vector<double>();
    for (size_t i = 0; i < 4; ++i)
      sums[i] += (up[2 * i + static_cast<size_t>(k)] - down[2 * i + static_cast<size_t>(k)]) / (2 * h);
  }
  for (size_t i = 0; i < 4; ++i) CHECK(result.divergence[i] == doctest::Approx(sums[i]).epsilon(1e-6));
}

TEST_CASE(
    "Hutchinson's estimates have the exact trace as mean, within 4 standard errors; normal v spread more") {
  const RandomNetwork network;
  const Tensor x = zeros({4000, 2}, Dtype::float64);
  const std::vector<double> times(4000, 0.5);
  const double exact = divergence_of(network.predictor({}), x, times).divergence[0];
  Generator generator(6);
  std::vector<double> errors;
  for (TraceEstimate kind : {TraceEstimate::rademacher, TraceEstimate::gaussian}) {
    const Tensor probe = trace_probe(kind, x, generator);
    const std::vector<double> draws = divergence_of(network.predictor({}), x, times, probe).divergence;
    double mean = 0, squares = 0;
    for (double draw : draws) mean += draw / 4000;
    for (double draw : draws) squares += (draw - mean) * (draw - mean);
    errors.push_back(std::sqrt(squares / 3999 / 4000));
    CHECK(std::abs(mean - exact) < 4 * errors.back());
  }
  CHECK(errors[0] > 0);
  CHECK(errors[1] > errors[0]);
  CHECK_THROWS_AS(trace_probe(TraceEstimate::exact, x, generator), Error);
}

TEST_CASE("probability flow: the density of a random network's flow integrates to 1, within 1%") {
  const RandomNetwork network;
  const Sde sde;
  // The sum of a smooth density on the points of a grid is its integral.
  constexpr int kSide = 41;
  constexpr double kHalf = 6, kStep = 2 * kHalf / (kSide - 1);
  std::vector<double> grid;
  for (int i = 0; i < kSide * kSide; ++i) {
    grid.push_back(-kHalf + kStep * (i % kSide));
    grid.push_back(-kHalf + kStep * static_cast<int>(i / kSide));
  }
  Generator generator(7);
  const LikelihoodResult result =
      probability_flow_nats(network.predictor(sde), sde, Tensor::from(grid, {kSide * kSide, 2}),
                            TraceEstimate::exact, generator, {1e-4, 1e-4});
  double integral = 0;
  for (double nats : result.nats) integral += std::exp(-nats) * kStep * kStep;
  // The network changes the density: that of the prior has log(2 pi) nats at 0, the middle of the grid.
  const double at_zero = result.nats[kSide * kSide / 2];
  MESSAGE("nats at 0 ", at_zero, ", integral ", integral, " in ", result.calls, " calls");
  CHECK(std::abs(at_zero - std::log(2 * M_PI)) > 0.1);
  CHECK(std::abs(integral - 1) < 0.01);
}

}  // namespace haze
