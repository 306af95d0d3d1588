#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/diffusion/gaussian/ddpm_bound.h"
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
DdpmNetwork optimal_network(const NoiseSchedule& schedule) {
  return [schedule](const Tensor& x_t, const Tensor& t) -> DdpmPrediction {
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
    return {Variable(cast(Tensor::from(x, x_t.shape()), x_t.dtype())), {}};
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
      const GaussianDiffusion diffusion{.schedule = schedule, .variance = kind};
      for (double nats : ddpm_bound_nats(optimal_network(schedule), diffusion, x_0, generator)) sum += nats;
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
  CHECK(sums.standard_error * std::sqrt(20) < draws.standard_error * std::sqrt(100));  // of one pass
}

TEST_CASE("examples of any shape are learned and drawn in that shape") {
  DataFacts facts;
  facts.value_shape = {2, 3};
  const std::unique_ptr<Model> model = ddpm({"ddpm.steps=4", "network.kind=mlp", "mlp.hidden=8"}, facts);
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

TEST_CASE("each combination of prediction, loss, variance and draw of t that is no contradiction learns") {
  const nn_test::ThreadScope one(1);
  Generator data(9);
  const std::vector<Batch> held_out = {points(eight_gaussians(200, data))};
  const auto bound = [&](const Model& model) {
    Generator generator(10);
    return estimate_bound(*model.likelihood(), held_out, {.passes = 4}, generator).nats_per_example();
  };
  struct Kind {
    std::string loss, variance;
  };
  for (const Kind& kind : {Kind{"simple", "small"},
                           {"l1", "large"},
                           {"bound", "large"},
                           {"bound", "learned"},
                           {"hybrid", "learned"}}) {
    std::vector<std::string> settings = {"ddpm.steps=8",           "ddpm.schedule=cosine",
                                         "mlp.hidden=32",          "mlp.layers=2",
                                         "ddpm.loss=" + kind.loss, "ddpm.variance=" + kind.variance};
    const double untrained = bound(*ddpm(settings));  // it predicts hardly any noise
    for (const std::string prediction : {"epsilon", "x_0", "v"}) {
      for (const std::string draw : {"uniform", "importance"}) {
        CAPTURE(prediction + " " + kind.loss + " " + kind.variance + " " + draw);
        std::vector<std::string> own = settings;
        own.insert(own.end(), {"ddpm.prediction=" + prediction, "ddpm.step_draw=" + draw});
        const std::unique_ptr<Model> model = ddpm(own);
        Generator generator(11);
        AdamW optimizer(model->parameters());
        for (int step = 0; step < 60; ++step) {
          const Batch batch = model->prepare(points(eight_gaussians(64, generator)), 0, generator);
          model->clear_gradients();
          backward(model->loss(batch, 0, {.training = true, .generator = &generator}).total);
          optimizer.step(1e-2);
        }
        CHECK(bound(*model) < untrained - 1);
      }
    }
  }
}

TEST_CASE("parameters keep their names, and the history of losses is a buffer of the importance draw alone") {
  const auto names = [](const std::vector<std::string>& overrides) {
    std::vector<std::string> result;
    const std::unique_ptr<Model> model = ddpm(overrides);
    for (const NamedParameter& parameter : model->parameters()) result.push_back(parameter.name);
    for (const NamedBuffer& buffer : model->buffers()) result.push_back(buffer.name);
    return result;
  };
  const std::vector<std::string> own = names({"mlp.layers=1"});
  CHECK(own.front() == "input.weight");
  CHECK(own.back() == "output.bias");
  std::vector<std::string> with_history = names({"mlp.layers=1", "ddpm.step_draw=importance"});
  REQUIRE(with_history.size() == own.size() + 2);
  CHECK(std::vector(with_history.end() - 2, with_history.end()) ==
        std::vector<std::string>{"loss_history.losses", "loss_history.counts"});
}

TEST_CASE("only a training step adds to the history of losses, each example's own loss at its t") {
  const std::unique_ptr<Model> model = ddpm({"ddpm.steps=4", "ddpm.step_draw=importance", "mlp.hidden=8"});
  Generator generator(11);
  const Batch batch = model->prepare(points(eight_gaussians(6, generator)), 0, generator);
  const auto& noisy = dynamic_cast<const NoisyValues&>(*batch.prepared);
  const Tensor counts = *model->buffers()[1].tensor, losses = *model->buffers()[0].tensor;
  model->loss(batch, 0, {.training = false, .generator = &generator});
  CHECK(counts.to_vector<int32_t>() == std::vector<int32_t>(4));
  const double total =
      model->loss(batch, 0, {.training = true, .generator = &generator}).total.value().item();
  int32_t sum = 0;
  for (int32_t count : counts.to_vector<int32_t>()) sum += count;
  CHECK(sum == 6);
  // Every weight is 1 until the history is full, so that the loss is the mean of what was written.
  CHECK(noisy.weights.to_vector<double>() == std::vector<double>(6, 1));
  double mean = 0;
  for (double loss : losses.to_vector<double>()) mean += loss / 6;
  CHECK(mean == doctest::Approx(total).epsilon(1e-6));
}

TEST_CASE("gradients of the hybrid loss of images agree with central differences of what it is made of") {
  // L_simple by the prediction, and 0.001 L_vlb by the variance alone.
  Generator generator(12);
  const GaussianDiffusion diffusion{cosine_noise_schedule(6), Parameterisation::epsilon,
                                    ReverseVariance::learned, 256};
  std::vector<double> x_0;
  for (int i = 0; i < 12; ++i) x_0.push_back(-1 + 2 * static_cast<double>(generator.below(256)) / 255);
  const Tensor t = Tensor::from({1, 1, 2, 4, 5, 6}, {6});
  const NoisyValues noisy = add_noise(diffusion.schedule, Tensor::from(x_0, {6, 2}), t, generator);
  const Tensor value = normal({6, 2}, generator, 0, 1, Dtype::float64);
  const Tensor share = uniform({6, 2}, generator, 0, 1, Dtype::float64);
  const auto mean_loss = [&](DdpmLoss loss, const Variable& prediction, const Variable& shares) {
    return mean(ddpm_losses(diffusion, loss, {prediction, shares}, noisy));
  };
  const auto gradients = [&](DdpmLoss loss) {
    const Variable prediction = Variable::leaf(clone(value)), shares = Variable::leaf(clone(share));
    backward(mean_loss(loss, prediction, shares));
    const auto of = [](const Variable& leaf) {
      return leaf.gradient().defined() ? leaf.gradient().to_vector<double>() : std::vector<double>(12);
    };
    return std::pair(of(prediction), of(shares));
  };
  const auto hybrid = gradients(DdpmLoss::hybrid), simple = gradients(DdpmLoss::simple),
             bound = gradients(DdpmLoss::bound);
  for (size_t i = 0; i < 12; ++i) {
    CHECK(hybrid.first[i] == simple.first[i]);
    CHECK(hybrid.second[i] == doctest::Approx(0.001 * bound.second[i]).epsilon(1e-12));
    CHECK(simple.second[i] == 0);
    const auto difference = [&](bool of_share) {
      constexpr double kStep = 1e-5;
      const auto at = [&](double step) {
        const Tensor moved = clone(of_share ? share : value);
        moved.data<double>()[i] += step;
        return mean_loss(DdpmLoss::bound, of_share ? value : moved, of_share ? moved : share).value().item();
      };
      return (at(kStep) - at(-kStep)) / (2 * kStep);
    };
    CHECK(bound.first[i] == doctest::Approx(difference(false)).epsilon(1e-5));
    CHECK(bound.second[i] == doctest::Approx(difference(true)).epsilon(1e-5));
  }
}

TEST_CASE(
    "fewer steps of sampling cost as many calls, and images are kept in [-1, 1] unless clipping is off") {
  DataFacts facts;
  facts.value_shape = {1, 4, 4};
  facts.value_levels = 256;
  const std::unique_ptr<Model> model = ddpm({"ddpm.steps=20", "network.kind=mlp", "mlp.hidden=8"}, facts);
  nn_test::randomise(*model, 13, 1.0);
  const auto sample = [&](const std::vector<std::string>& overrides) {
    Settings settings(ddpm_model().settings);
    for (const std::string& assignment : overrides) settings.override_with(assignment);
    Generator generator(14);
    return model->sampler()->sample(std::vector<Request>(3), {settings, {}, {}}, generator);
  };
  const auto largest = [](const Samples& samples) {
    double result = 0;
    for (double x : samples.values.to_vector<double>()) result = std::max(result, std::abs(x));
    return result;
  };
  CHECK(sample({}).network_calls == 3 * 20);
  CHECK(sample({"sample.steps=5"}).network_calls == 3 * 5);
  CHECK(sample({"sample.steps=20"}).values.to_vector<float>() == sample({}).values.to_vector<float>());
  CHECK(sample({"sample.sampler=ddim", "sample.steps=5"}).network_calls == 3 * 5);
  CHECK(sample({"sample.sampler=dpm-solver", "sample.steps=5"}).network_calls == 3 * 5);
  CHECK(sample({"sample.sampler=heun", "sample.steps=5"}).network_calls == 3 * 9);
  CHECK(largest(sample({})) <= 1);
  CHECK(largest(sample({"sample.clip=false"})) > 1);
  CHECK_THROWS_WITH_AS(sample({"sample.steps=21"}), "sample.steps is 21, more than the 20 of ddpm.steps",
                       Error);
}

TEST_CASE("each sampler of the settings is the function of its name") {
  const std::unique_ptr<Model> model = ddpm({"mlp.hidden=16"});
  const auto sample = [&](const std::vector<std::string>& overrides) {
    Settings settings(ddpm_model().settings);
    for (const std::string& assignment : overrides) settings.override_with(assignment);
    Generator generator(15);
    return model->sampler()
        ->sample(std::vector<Request>(4), {settings, {}, {}}, generator)
        .values.to_vector<float>();
  };
  const std::vector<float> ancestral = sample({"sample.steps=10"});
  const std::vector<float> plain = sample({"sample.steps=10", "sample.sampler=ddim"});
  CHECK(sample({"sample.steps=10", "sample.sampler=ddim", "sample.eta=0"}) == plain);
  CHECK(sample({"sample.steps=10", "sample.sampler=ddim", "sample.eta=1"}) != plain);
  const std::vector<float> heun = sample({"sample.steps=200", "sample.sampler=heun"});
  const std::vector<float> solver = sample({"sample.steps=200", "sample.sampler=dpm-solver"});
  const std::vector<float> ddim = sample({"sample.steps=200", "sample.sampler=ddim"});
  CHECK(ancestral != plain);
  // All three solve the same equation from the same noise.
  for (size_t i = 0; i < 8; ++i) {
    CHECK(solver[i] == doctest::Approx(heun[i]).epsilon(0.05));
    CHECK(ddim[i] == doctest::Approx(heun[i]).epsilon(0.1));  // of first order
  }
}

TEST_CASE("settings that contradict one another are refused in a sentence") {
  const auto resolve = [](const std::vector<std::string>& overrides) {
    Settings settings(ddpm_model().settings);
    for (const std::string& assignment : overrides) settings.override_with(assignment);
    ddpm_model().resolve(settings);
  };
  resolve({});
  resolve({"ddpm.variance=learned", "ddpm.loss=hybrid"});
  CHECK_THROWS_WITH_AS(resolve({"ddpm.variance=learned"}),
                       "ddpm.loss \"simple\" says nothing of the variance: ddpm.variance \"learned\" needs "
                       "\"hybrid\" or \"bound\"",
                       Error);
  CHECK_THROWS_WITH_AS(
      resolve({"ddpm.loss=hybrid"}),
      "ddpm.loss \"hybrid\" is for a variance that is learned, and ddpm.variance is \"large\"", Error);
  CHECK_THROWS_WITH_AS(resolve({"ddpm.steps=50", "sample.steps=51"}),
                       "sample.steps is 51, more than the 50 of ddpm.steps", Error);
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
