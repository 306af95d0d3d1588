#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/diffusion/gaussian/ddpm.h"
#include "haze/nn/optimizer.h"

#include "nn/networks.h"

namespace haze {
namespace {

constexpr double kRadius = 1.5, kSpread = 0.15;  // of eight Gaussians on a circle

std::unique_ptr<Model> ddpm(const std::vector<std::string>& overrides = {}, DataFacts facts = {}) {
  Settings settings(ddpm_model().settings);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  if (facts.value_shape.empty()) facts.value_shape = {2};
  Generator generator(1);
  return ddpm_model().make(settings, facts, {}, generator);
}

Batch points(const Tensor& values) {
  Batch batch;
  batch.values = values;
  return batch;
}

Tensor eight_gaussians(int64_t count, Generator& generator) {
  const std::vector<float> noise = normal({count, 2}, generator, 0, kSpread).to_vector<float>();
  std::vector<float> result;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const double angle = M_PI / 4 * static_cast<double>(generator.below(8));
    result.push_back(static_cast<float>(kRadius * std::cos(angle)) + noise[2 * i]);
    result.push_back(static_cast<float>(kRadius * std::sin(angle)) + noise[2 * i + 1]);
  }
  return Tensor::from(result, {count, 2});
}

// Nats of the Gaussian that fits best: its covariance is (radius^2 / 2 + spread^2) I.
double single_gaussian_nats() {
  return std::log(2 * M_PI * M_E * (kRadius * kRadius / 2 + kSpread * kSpread));
}

// E[noise | x_t] of the eight Gaussians: the best that a network can learn.
NoisePredictor optimal_predictor(const NoiseSchedule& schedule) {
  return [schedule](const Tensor& x_t, const Tensor& t) {
    const std::vector<int32_t> steps = t.to_vector<int32_t>();
    std::vector<double> x = x_t.to_vector<double>();
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto step = static_cast<size_t>(steps[i]);
      const double scale = std::sqrt(schedule.alpha_bar[step]);
      const double variance = schedule.alpha_bar[step] * kSpread * kSpread + schedule.noise[step];
      double total = 0, sum_x = 0, sum_y = 0;  // of weights, and of weights times x_t - scale centre
      for (int k = 0; k < 8; ++k) {
        const double dx = x[2 * i] - scale * kRadius * std::cos(M_PI / 4 * k);
        const double dy = x[2 * i + 1] - scale * kRadius * std::sin(M_PI / 4 * k);
        const double weight = std::exp(-(dx * dx + dy * dy) / (2 * variance));
        total += weight;
        sum_x += weight * dx;
        sum_y += weight * dy;
      }
      x[2 * i] = std::sqrt(schedule.noise[step]) / variance * sum_x / total;
      x[2 * i + 1] = std::sqrt(schedule.noise[step]) / variance * sum_y / total;
    }
    return Variable(cast(Tensor::from(x, x_t.shape()), x_t.dtype()));
  };
}

// Share of points within 3 spreads of one of the eight centres.
double share_near_centres(const Tensor& values) {
  const std::vector<double> x = values.to_vector<double>();
  double near = 0;
  for (size_t i = 0; i < x.size(); i += 2) {
    const double turn = std::round(std::atan2(x[i + 1], x[i]) / (M_PI / 4)) * M_PI / 4;
    near += std::hypot(x[i] - kRadius * std::cos(turn), x[i + 1] - kRadius * std::sin(turn)) < 3 * kSpread;
  }
  return near / (static_cast<double>(x.size()) / 2);
}

}  // namespace

TEST_CASE(
    "with the optimal denoiser the large variance bounds eight Gaussians within 0.15 nats, the small not") {
  const double entropy = std::log(8) + std::log(2 * M_PI * M_E * kSpread * kSpread);  // they hardly overlap
  const NoiseSchedule schedule = linear_noise_schedule(200);
  Generator generator(2);
  const auto bound = [&](ReverseVariance kind) {
    // 500 points a step have a standard error of 0.064 nats, those of 40 batches one of 0.010.
    constexpr int kBatches = 40, kPoints = 100000;
    double sum = 0;
    for (int batch = 0; batch < kBatches; ++batch) {
      const Tensor x_0 = eight_gaussians(kPoints, generator);
      for (double nats : ddpm_bound_nats(optimal_predictor(schedule), schedule, kind, x_0, generator))
        sum += nats;
    }
    return sum / kBatches / kPoints;
  };
  const double large = bound(ReverseVariance::large), small = bound(ReverseVariance::small);
  MESSAGE("bound ", large, " (large), ", small, " (small), entropy ", entropy, " nats a point");
  CHECK(large > entropy);
  CHECK(large < entropy + 0.15);
  CHECK(small > entropy + 1);
}

TEST_CASE(
    "600 steps of training on eight Gaussians beat the best single Gaussian by 1 nat, and draw the eight") {
  const nn_test::ThreadScope one(1);
  constexpr int kSteps = 600;
  const std::unique_ptr<Model> model = ddpm();
  Generator generator(2);
  AdamW optimizer(model->parameters());
  for (int step = 0; step < kSteps; ++step) {
    const Batch batch = model->prepare(points(eight_gaussians(256, generator)), 0, generator);
    model->clear_gradients();
    backward(model->loss(batch, 0, {.training = true, .generator = &generator}).total);
    optimizer.step(1e-2 * 0.5 * (1 + std::cos(M_PI * step / kSteps)));
  }
  const std::vector<Batch> held_out = {points(eight_gaussians(500, generator))};
  const BoundEstimate bound =
      estimate_bound(*model->likelihood(), held_out, {.passes = 4, .every_term = true}, generator);
  MESSAGE("bound ", bound.nats_per_example(), " +- ", bound.standard_error / 500,
          " nats a point, one Gaussian ", single_gaussian_nats());
  CHECK(bound.nats_per_example() + 4 * bound.standard_error / 500 < single_gaussian_nats() - 1);
  const Settings settings(ddpm_model().settings);
  const std::vector<Request> requests(2000);
  const Samples samples = model->sampler()->sample(requests, {settings, {}, {}}, generator);
  const double share = share_near_centres(samples.values);
  MESSAGE("share of samples within 3 standard deviations of a centre ", share);
  CHECK(share > 0.6);  // 0.26 of the single Gaussian's
}

TEST_CASE("one draw of the bound agrees with the sum of all terms, within 4 standard errors") {
  const std::unique_ptr<Model> model = ddpm({"ddpm.steps=20", "mlp.hidden=16"});
  Generator generator(3);
  const std::vector<Batch> data = {points(eight_gaussians(500, generator))};
  const Likelihood& likelihood = *model->likelihood();
  CHECK(likelihood.terms() == 20);
  CHECK(!likelihood.is_exact());
  const BoundEstimate draws = estimate_bound(likelihood, data, {.passes = 100}, generator);
  const BoundEstimate sums = estimate_bound(likelihood, data, {.passes = 20, .every_term = true}, generator);
  CHECK(std::abs(draws.nats - sums.nats) < 4 * std::hypot(draws.standard_error, sums.standard_error));
  CHECK(sums.standard_error < draws.standard_error);
}

TEST_CASE("examples of any shape are learned and drawn in that shape") {
  DataFacts facts;
  facts.value_shape = {2, 3};
  const std::unique_ptr<Model> model = ddpm({"ddpm.steps=4", "mlp.hidden=8"}, facts);
  Generator generator(4);
  const Batch batch = model->prepare(points(normal({5, 2, 3}, generator)), 0, generator);
  const Loss loss = model->loss(batch, 0, {});
  CHECK(std::isfinite(loss.total.value().item()));
  CHECK(loss.inputs.at(0).tensor.shape() == Shape{5, 2, 3});
  CHECK(model->likelihood()->draw_nats(batch, generator).size() == 5);
  const Settings settings(ddpm_model().settings);
  const std::vector<Request> requests(7);
  CHECK(model->sampler()->sample(requests, {settings, {}, {}}, generator).values.shape() == Shape{7, 2, 3});
}

TEST_CASE("the loss is the mean squared error of the noise over all numbers") {
  const std::unique_ptr<Model> model = ddpm();
  for (const NamedParameter& parameter : model->parameters()) fill(parameter.variable->value(), 0);
  Generator generator(5);
  const Batch batch = model->prepare(points(eight_gaussians(50, generator)), 0, generator);
  const Loss loss = model->loss(batch, 0, {});
  double sum = 0;  // the network answers 0
  for (double noise : loss.inputs.at(2).tensor.to_vector<double>()) sum += noise * noise;
  CHECK(loss.total.value().item() == doctest::Approx(sum / 100).epsilon(1e-5));
  CHECK(batch.units() == 100);
}

TEST_CASE("gradients of the loss agree with central differences") {
  const std::unique_ptr<Model> model = ddpm({"mlp.hidden=4", "mlp.layers=2"});
  model->to(Dtype::float64);
  nn_test::randomise(*model, 6, 0.2);
  Generator generator(7);
  const Batch batch = model->prepare(points(normal({4, 2}, generator, 0, 1, Dtype::float64)), 0, generator);
  nn_test::check_gradients("ddpm", *model, {},
                           [&](const nn_test::Inputs&) { return model->loss(batch, 0, {}).total; });
}

TEST_CASE("ddpm says what it lacks") {
  const std::unique_ptr<Model> model = ddpm();
  Generator generator(8);
  CHECK_THROWS_WITH_AS(model->prepare({}, 0, generator),
                       "ddpm: the batch has no tensor, from which this model learns", Error);
  CHECK_THROWS_AS(model->prepare(points(zeros({4, 3})), 0, generator), Error);
  CHECK_THROWS_AS(model->prepare(points(zeros({0, 2})), 0, generator), Error);
  CHECK_THROWS_WITH_AS(model->loss(points(zeros({4, 2})), 0, {}), "ddpm: the batch has not been prepared",
                       Error);
  CHECK_THROWS_WITH_AS(model->likelihood()->term_nats(points(zeros({4, 2})), 201, generator),
                       "ddpm: term 201 of the bound is not in 1..200", Error);
  CHECK_THROWS_AS(ddpm_model().make(Settings(ddpm_model().settings), DataFacts{}, {}, generator), Error);
}

}  // namespace haze
