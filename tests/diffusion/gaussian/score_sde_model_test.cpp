#include <algorithm>
#include <array>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/diffusion/gaussian/noisy_classifier.h"
#include "haze/diffusion/gaussian/score_sde.h"
#include "haze/nn/optimizer.h"

#include "nn/networks.h"
#include "normal_data.h"

namespace haze {
namespace {

constexpr double kRadius = 1.5, kSpread = 0.15;  // of two Gaussians, left (label 0) and right (label 1)

std::unique_ptr<Model> made(const ModelInfo& info, const std::vector<std::string>& overrides,
                            const std::shared_ptr<Model>& classifier = nullptr, int64_t value_levels = 0) {
  Settings settings(info.settings);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  info.resolve(settings);
  DataFacts facts;
  facts.value_shape = {2};
  facts.value_levels = value_levels;
  facts.labels = 2;
  Generator generator(1);
  return info.make(settings, facts,
                   FrozenModels(info.frozen.size(), FrozenModel{classifier, facts, settings}), generator);
}

std::unique_ptr<Model> score_sde(std::vector<std::string> overrides = {},
                                 const std::shared_ptr<Model>& classifier = nullptr) {
  overrides.insert(overrides.begin(), {"mlp.hidden=32", "mlp.layers=2"});
  return made(score_sde_model(), overrides, classifier);
}

/// Every weight is 0, so that the data have the distribution N(0, I): its noise is sigma x, its x_0 alpha x.
std::unique_ptr<Model> score_sde_of_normal_data(std::vector<std::string> overrides = {},
                                                int64_t value_levels = 0) {
  overrides.insert(overrides.begin(), {"mlp.hidden=8", "mlp.layers=1"});
  std::unique_ptr<Model> model = made(score_sde_model(), overrides, nullptr, value_levels);
  for (const NamedParameter& parameter : model->parameters()) fill(parameter.variable->value(), 0);
  return model;
}

Batch two_gaussians(int64_t count, Generator& generator) {
  const std::vector<float> noise = normal({count, 2}, generator, 0, kSpread).to_vector<float>();
  std::vector<float> values;
  std::vector<int32_t> labels;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    labels.push_back(static_cast<int32_t>(generator.below(2)));
    values.push_back((labels[i] == 0 ? -1 : 1) * static_cast<float>(kRadius) + noise[2 * i]);
    values.push_back(noise[2 * i + 1]);
  }
  Batch batch;
  batch.values = Tensor::from(values, {count, 2});
  batch.labels = Tensor::from(labels, {count});
  return batch;
}

void train(Model& model, int steps, Generator& generator) {
  AdamW optimizer(model.parameters());
  for (int step = 0; step < steps; ++step) {
    const Batch batch = model.prepare(two_gaussians(128, generator), 0, generator);
    model.clear_gradients();
    backward(model.loss(batch, 0, {.training = true, .generator = &generator}).total);
    optimizer.step(1e-2 * 0.5 * (1 + std::cos(M_PI * step / steps)));
  }
}

std::shared_ptr<Model> trained_classifier() {
  std::shared_ptr<Model> model = made(noisy_classifier_model(), {"noisy_classifier.width=16"});
  Generator generator(2);
  train(*model, 150, generator);
  for (const NamedParameter& parameter : model->parameters())
    *parameter.variable = Variable(parameter.variable->value());
  return model;
}

Samples sampled(const Model& model, const std::vector<std::string>& overrides, int64_t count,
                std::optional<int32_t> label, uint64_t seed = 3, const SampleObserver& observer = {}) {
  Settings settings(score_sde_model().settings);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  std::vector<Request> requests(static_cast<size_t>(count));
  for (Request& request : requests) request.label = label;
  Generator generator(seed);
  const NoGradient scope;  // as the tools sample
  return model.sampler()->sample(requests, {settings, {}, observer}, generator);
}

// Of a point of the mixture, by its formula.
double true_nats(double x, double y) {
  const auto log_density = [&](double mean) {
    const double square = (x - mean) * (x - mean) + y * y;
    return -square / (2 * kSpread * kSpread) - std::log(2 * M_PI * kSpread * kSpread);
  };
  return -std::log(0.5 * (std::exp(log_density(-kRadius)) + std::exp(log_density(kRadius))));
}

double share_on_the_right(const Tensor& values) {
  const std::vector<double> x = values.to_vector<double>();
  double right = 0;
  for (size_t i = 0; i < x.size(); i += 2) right += x[i] > 0;
  return right / (static_cast<double>(x.size()) / 2);
}

// The density on a grid, summed.
double integral_of_density(const Model& model) {
  constexpr int kSide = 45;
  constexpr double kHalf = 3, kStep = 2 * kHalf / (kSide - 1);
  std::vector<float> grid;
  for (int i = 0; i < kSide * kSide; ++i) {
    grid.push_back(static_cast<float>(-kHalf + kStep * (i % kSide)));
    grid.push_back(static_cast<float>(-kHalf + kStep * (i / kSide)));
  }
  Batch batch;
  batch.values = Tensor::from(grid, {kSide * kSide, 2});
  Generator generator(4);
  double integral = 0;
  for (double nats : model.likelihood()->draw_nats(batch, generator))
    integral += std::exp(-nats) * kStep * kStep;
  return integral;
}

}  // namespace

TEST_CASE(
    "score_sde learns two Gaussians: nats near their entropy, a density of integral 1, samples of both") {
  const nn_test::ThreadScope one(1);
  const std::unique_ptr<Model> model = score_sde({"score_sde.tolerance=1e-3"});
  Generator generator(5);
  train(*model, 600, generator);
  REQUIRE(model->likelihood()->is_exact());
  const std::vector<Batch> held_out = {two_gaussians(600, generator)};
  const BoundEstimate nats = estimate_bound(*model->likelihood(), held_out, {}, generator);
  const double entropy = std::log(2) + std::log(2 * M_PI * M_E * kSpread * kSpread);
  const std::vector<double> points = held_out[0].values.to_vector<double>();
  double of_points = 0;
  for (size_t i = 0; i < points.size(); i += 2) of_points += true_nats(points[i], points[i + 1]) / 600;
  const double integral = integral_of_density(*model);
  MESSAGE("nats a point ", nats.nats_per_example(), ", of their true density ", of_points, ", entropy ",
          entropy, ", integral ", integral);
  // The points' own nats have a standard deviation of 1, so 600 of them a standard error of 0.04.
  CHECK(std::abs(nats.nats_per_example() - entropy) < 0.2);
  // Against the true nats of the same points that error is gone: what is left is KL(data || model).
  CHECK(nats.nats_per_example() - of_points > -0.05);
  CHECK(nats.nats_per_example() - of_points < 0.15);
  CHECK(std::abs(integral - 1) < 0.01);
  for (const char* sampler : {"reverse-sde", "predictor-corrector", "probability-flow", "ancestral", "ddim",
                              "dpm-solver", "heun"}) {
    const Samples samples =
        sampled(*model, {fmt::format("sample.sampler={}", sampler), "sample.steps=40"}, 200, {});
    const double share = share_on_the_right(samples.values);
    MESSAGE(std::string(sampler), ": ", share, " on the right, ", samples.network_calls / 200, " calls");
    CHECK(std::abs(share - 0.5) < 0.2);
    CHECK(samples.values.shape() == Shape{200, 2});
  }
}

TEST_CASE("a classifier of noisy points leads every sampler that it can guide to the label") {
  const nn_test::ThreadScope one(1);
  const std::shared_ptr<Model> classifier = trained_classifier();
  const std::unique_ptr<Model> model = score_sde({}, classifier);
  Generator generator(6);
  train(*model, 250, generator);
  CHECK(model->sampler()->uses().label);
  for (const char* sampler :
       {"reverse-sde", "predictor-corrector", "ancestral", "ddim", "dpm-solver", "heun"}) {
    const std::vector<std::string> settings = {fmt::format("sample.sampler={}", sampler), "sample.steps=40"};
    for (int32_t label : {0, 1}) {
      const double share = share_on_the_right(sampled(*model, settings, 200, label).values);
      MESSAGE(std::string(sampler), ", label ", label, ": ", share, " on the right");
      CHECK((label == 1 ? share : 1 - share) > 0.9);
    }
  }
  CHECK_THROWS_WITH_AS(
      sampled(*model, {"sample.sampler=probability-flow"}, 2, 1),
      "score_sde: the sampler probability-flow knows no labels; reverse-sde and the others do", Error);
  CHECK_THROWS_WITH_AS(sampled(*model, {}, 2, 2),
                       "the label 2 is not one of the classifier's 2 classes, from 0", Error);
}

TEST_CASE("the nats of images are those of dequantised pixels: an upper bound of those of their bins") {
  constexpr int64_t kLevels = 4, kCopies = 4000;
  constexpr double kWidth = 2.0 / (kLevels - 1);
  const std::unique_ptr<Model> model = score_sde_of_normal_data({}, kLevels);
  CHECK(model->likelihood()->kind() == LikelihoodKind::bound);
  const auto mean_and_error = [](const std::vector<double>& nats) {
    double mean = 0, square = 0;
    for (double value : nats) mean += value / kCopies;
    for (double value : nats) square += (value - mean) * (value - mean) / kCopies;
    return std::pair(mean, std::sqrt(square / kCopies));
  };
  for (const auto& image : std::vector<std::array<double, 2>>{{-1.0 / 3, 1.0 / 3}, {1.0, -1.0 / 3}}) {
    Batch batch;
    batch.values = contiguous(expand(Tensor::from({image[0], image[1]}, {1, 2}), {kCopies, 2}));
    batch.values = cast(batch.values, Dtype::float32);
    Generator generator(12);
    const auto [mean, error] = mean_and_error(model->likelihood()->draw_nats(batch, generator));
    // E over the bin of (x + u)^2 is x^2 + width^2 / 12; the density of N(0, 1) times the bin's width.
    double dequantised = 0, of_bins = 0;
    for (double x : image) {
      dequantised += 0.5 * std::log(2 * M_PI) + 0.5 * (x * x + kWidth * kWidth / 12) - std::log(kWidth);
      const double low = x - kWidth / 2, high = x + kWidth / 2;
      of_bins -= std::log(0.5 * (std::erfc(low / std::sqrt(2)) - std::erfc(high / std::sqrt(2))));
    }
    CHECK(std::abs(mean - dequantised) < 4 * error);
    CHECK(error > 0.001);
    CHECK(error < 0.01);
    CHECK(dequantised > of_bins);
    CHECK(dequantised < of_bins + 0.03);
  }
}

TEST_CASE("dequantised numbers fill the bins of their levels, 2 / (levels - 1) wide, evenly") {
  Generator generator(13);
  const std::vector<double> u =
      dequantised(zeros({20000}, Dtype::float64), 256, generator).to_vector<double>();
  double square = 0;
  for (double value : u) {
    CHECK(std::abs(value) <= 1 / 255.0);
    square += value * value / 20000;
  }
  // The square of a uniform number has a standard deviation of 0.9 of its mean: 4 errors are 0.025.
  CHECK(square == doctest::Approx(std::pow(2 / 255.0, 2) / 12).epsilon(0.025));
  CHECK(dequantisation_nats(256) == doctest::Approx(std::log(127.5)));
  CHECK_THROWS_WITH_AS(dequantisation_nats(1), "dequantisation: 1 levels; at least 2 are needed", Error);
}

TEST_CASE("the likelihood is exact of points with an exact trace, and an estimate with Hutchinson's") {
  const auto kind_of = [](const std::string& trace, int64_t levels) {
    return score_sde_of_normal_data({"score_sde.trace=" + trace}, levels)->likelihood()->kind();
  };
  CHECK(kind_of("auto", 0) == LikelihoodKind::exact);
  CHECK(kind_of("rademacher", 0) == LikelihoodKind::estimate);
  CHECK(kind_of("gaussian", 0) == LikelihoodKind::estimate);
  for (const char* trace : {"exact", "rademacher"}) CHECK(kind_of(trace, 256) == LikelihoodKind::bound);
}

TEST_CASE("probability-flow ends with the denoised x_0, as the other samplers do, and keeps that of images") {
  const double alpha = sde_level({}, kSamplingEnd).alpha;
  for (const bool clip : {false, true}) {
    CAPTURE(clip);
    std::vector<std::vector<double>> seen;
    const SampleObserver observer = [&](const Snapshot& snapshot) {
      seen.push_back(snapshot.values->to_vector<double>());
    };
    const std::unique_ptr<Model> model = score_sde_of_normal_data({}, 256);
    const Samples samples = sampled(
        *model,
        {"sample.sampler=probability-flow", fmt::format("sample.clip={}", clip), "sample.tolerance=1e-6"},
        200, {}, 3, observer);
    const std::vector<double> x_0 = samples.values.to_vector<double>();
    REQUIRE(seen.size() >= 3);
    CHECK(seen.back() == x_0);
    const std::vector<double>&start = seen.front(), &end_of_flow = seen[seen.size() - 2];
    double farthest = 0;
    for (size_t i = 0; i < x_0.size(); ++i) {
      // The flow of normal data moves nothing, and its x_0 is alpha x.
      const double expected = clip ? std::clamp(alpha * start[i], -1.0, 1.0) : alpha * start[i];
      CHECK(std::abs(x_0[i] - expected) < 1e-3);
      farthest = std::max(farthest, std::abs(end_of_flow[i]));
    }
    // 400 normal numbers reach beyond 2; a flow towards images ends at most some sigma from them.
    CHECK((clip ? farthest < 1.1 : farthest > 2));
    CHECK(samples.network_calls % 200 == 0);
  }
}

TEST_CASE("clipping the data of a predictor is that of a denoiser, at each example's time") {
  const ContinuousNoisePredictor predict = [](const Variable& x, std::span<const double>) {
    return unary(UnaryOp::sin, x * 3.0);
  };
  const std::vector<double> times = {0.05, 0.4, 0.9};
  Generator generator(14);
  const Tensor x = normal({3, 20}, generator, 0, 1.5, Dtype::float64);
  for (const Sde& sde : testing::all_sdes()) {
    const Tensor kept = with_clipped_data(predict, sde, -1, 1)(Variable(x), times).value();
    for (int64_t i = 0; i < 3; ++i) {
      const GaussianDenoiser denoise = clipped(denoiser_of(predict), -1, 1);
      const NoiseLevel level = sde_level(sde, times[static_cast<size_t>(i)]);
      const std::vector<double> expected =
          denoise(contiguous(slice(x, 0, i, i + 1)), level).epsilon.to_vector<double>();
      for (int64_t k = 0; k < 20; ++k)
        CHECK(kept.at({i, k}) == doctest::Approx(expected[static_cast<size_t>(k)]).epsilon(1e-9));
    }
  }
}

TEST_CASE("settings of score_sde that another choice makes idle are refused where they are given") {
  const auto check_given = [](const std::vector<std::string>& assignments, const char* key) {
    Settings settings(score_sde_model().settings);
    for (const std::string& assignment : assignments) settings.override_with(assignment);
    require_matters(settings, key, key);
  };
  CHECK_THROWS_WITH_AS(check_given({"sample.sampler=probability-flow"}, "sample.steps"),
                       "sample.steps is for sampler reverse-sde, predictor-corrector, ancestral, ddim, "
                       "dpm-solver or heun, and it is probability-flow",
                       Error);
  for (const char* sampler :
       {"reverse-sde", "predictor-corrector", "ancestral", "ddim", "dpm-solver", "heun"})
    CHECK_NOTHROW(check_given({fmt::format("sample.sampler={}", sampler)}, "sample.steps"));
  CHECK_THROWS_WITH_AS(score_sde({"score_sde.sde=ve", "score_sde.beta_max=10"}),
                       "score_sde.beta_max is for sde vp or sub-vp, and it is ve", Error);
  CHECK_THROWS_WITH_AS(score_sde({"score_sde.sde=sub-vp", "score_sde.sigma_max=10"}),
                       "score_sde.sigma_max is for sde ve, and it is sub-vp", Error);
  CHECK_THROWS_WITH_AS(
      made(noisy_classifier_model(), {"noisy_classifier.sde=ve", "noisy_classifier.beta_min=1"}),
      "noisy_classifier.beta_min is for sde vp or sub-vp, and it is ve", Error);
  CHECK_NOTHROW(score_sde({"score_sde.sde=sub-vp", "score_sde.beta_max=10"}));
}

TEST_CASE("example i of every sampler of score_sde is the same whatever the count") {
  const std::unique_ptr<Model> model = score_sde();
  for (const char* sampler : {"reverse-sde", "predictor-corrector", "probability-flow", "ancestral"}) {
    CAPTURE(sampler);
    const std::vector<std::string> settings = {fmt::format("sample.sampler={}", sampler), "sample.steps=5"};
    const Tensor many = sampled(*model, settings, 7, {}).values,
                 few = sampled(*model, settings, 3, {}).values;
    CHECK(contiguous(slice(many, 0, 0, 3)).to_vector<float>() == few.to_vector<float>());
  }
}

TEST_CASE("likelihood weighting draws times with density g^2 / sigma^2, noise weighting uniformly") {
  for (const Sde& sde : testing::all_sdes()) {
    CAPTURE(static_cast<int>(sde.kind));
    // By trapezoids on a grid that is even in log t: the density itself, and its mean of t.
    double mass = 0, below = 0;
    constexpr int kSteps = 20000;
    for (int i = 0; i < kSteps; ++i) {
      const double t = kLikelihoodStart * std::pow(1 / kLikelihoodStart, (i + 0.5) / kSteps);
      const double g = diffusion(sde, t), sigma = sde_level(sde, t).sigma;
      const double weight = g * g / (sigma * sigma) * t;
      mass += weight;
      if (t < 0.01) below += weight;
    }
    Generator generator(7);
    // The times are evenly spread over the distribution: shares are off by at most one time.
    const std::vector<double> times = draw_times(sde, TimeWeighting::likelihood, 1000, generator);
    const auto early = std::count_if(times.begin(), times.end(), [](double t) { return t < 0.01; });
    CHECK(static_cast<double>(early) / 1000 == doctest::Approx(below / mass).epsilon(0.002).scale(1));
    const std::vector<double> even = draw_times(sde, TimeWeighting::noise, 1000, generator);
    CHECK(std::abs(std::count_if(even.begin(), even.end(), [](double t) { return t < 0.25; }) - 250) <= 1);
    for (double t : times) CHECK((t >= kLikelihoodStart && t <= 1));
  }
}

TEST_CASE("a network of zeros gives the noise of data without spread: sigma x / (alpha^2 + sigma^2)") {
  const TimedFunction zero = [](const Variable& x, const Tensor&) { return x * 0.0; };
  for (const Sde& sde : testing::all_sdes()) {
    const std::vector<double> times = {0.2, 0.8};
    const Tensor x = full({2, 1}, 3, Dtype::float64);
    const std::vector<double> epsilon = preconditioned(zero, sde)(x, times).value().to_vector<double>();
    for (size_t i = 0; i < 2; ++i) {
      const NoiseLevel level = sde_level(sde, times[i]);
      const double square = level.alpha * level.alpha + level.sigma * level.sigma;
      CHECK(epsilon[i] == doctest::Approx(3 * level.sigma / square));
    }
  }
}

TEST_CASE("gradients of the losses of score_sde and noisy_classifier agree with central differences") {
  for (const bool classifier : {false, true}) {
    const std::unique_ptr<Model> model = classifier
                                             ? made(noisy_classifier_model(), {"noisy_classifier.width=8"})
                                             : score_sde({"mlp.hidden=4", "score_sde.sde=ve"});
    model->to(Dtype::float64);
    nn_test::randomise(*model, 8, 0.2);
    Generator generator(9);
    Batch batch = two_gaussians(4, generator);
    batch.values = cast(batch.values, Dtype::float64);
    batch = model->prepare(batch, 0, generator);
    nn_test::check_gradients(classifier ? "noisy_classifier" : "score_sde", *model, {},
                             [&](const nn_test::Inputs&) { return model->loss(batch, 0, {}).total; });
  }
}

TEST_CASE("noisy_classifier: p(y | x) is the posterior of the mixture at every level, of any process") {
  const nn_test::ThreadScope one(1);
  const auto classifier = std::dynamic_pointer_cast<const NoisyClassifier>(trained_classifier());
  REQUIRE(classifier);
  for (const Sde& sde : {Sde{}, Sde{.kind = SdeKind::variance_exploding, .sigma_max = 5}}) {
    for (double sigma_over_alpha : {0.5, 1.0, 2.0}) {
      double t = 0;
      while (sde_level(sde, t).sigma < sigma_over_alpha * sde_level(sde, t).alpha) t += 1e-4;
      const NoiseLevel level = sde_level(sde, t);
      const double x = 0.4 * std::hypot(level.alpha, level.sigma);
      // log p(1 | x) / p(0 | x) of two Gaussians at +-alpha radius, of variance alpha^2 spread^2 + sigma^2.
      const double variance = std::pow(level.alpha * kSpread, 2) + level.sigma * level.sigma;
      const double log_odds = 2 * x * level.alpha * kRadius / variance;
      const double truth = 1 / (1 + std::exp(-log_odds));
      const std::vector<float> point = {static_cast<float>(x), 0};
      const LogProbability right = log_probability_of(classifier, {1});
      const double learned = std::exp(right(Variable(Tensor::from(point, {1, 2})), level).value().item());
      CHECK(std::abs(learned - truth) < 0.1);
    }
  }
}

TEST_CASE("noisy_classifier: the last layer makes the logits of examples without noise from their features") {
  const std::shared_ptr<Model> model = trained_classifier();
  const auto classifier = std::dynamic_pointer_cast<const NoisyClassifier>(model);
  REQUIRE(classifier);
  REQUIRE(classifier->feature_extractor());
  Generator generator(11);
  const Batch batch = two_gaussians(60, generator);
  const Tensor features = classifier->feature_extractor()->features(batch.values);
  Tensor weight, bias;
  for (const NamedParameter& parameter : model->parameters()) {
    if (parameter.name == "output.weight") weight = parameter.variable->value();
    if (parameter.name == "output.bias") bias = parameter.variable->value();
  }
  REQUIRE(weight.defined());
  const std::vector<NoiseLevel> clean(60, NoiseLevel{1, 0});
  const Tensor logits = classifier->logits(Variable(batch.values), clean).value();
  const Tensor classes = classifier->feature_extractor()->classes(batch.values);
  int64_t right = 0;
  for (int64_t i = 0; i < 60; ++i) {
    for (int64_t y = 0; y < 2; ++y) {
      double sum = bias.at({y});
      for (int64_t j = 0; j < features.size(1); ++j) sum += features.at({i, j}) * weight.at({y, j});
      CHECK(logits.at({i, y}) == doctest::Approx(sum).epsilon(1e-4));
    }
    right += classes.at({i}) == batch.labels.at({i});
  }
  // The Gaussians are 20 deviations apart.
  CHECK(right == 60);
}

TEST_CASE("noisy_classifier counts examples, and logs its accuracy") {
  const std::shared_ptr<Model> model = trained_classifier();
  Generator generator(10);
  const Batch batch = model->prepare(two_gaussians(400, generator), 0, generator);
  CHECK(model->units(batch) == 400);
  const Loss loss = model->loss(batch, 0, {});
  REQUIRE(loss.log.size() == 1);
  CHECK(loss.log[0].name == "accuracy");
  // At uniform t the noise hides the label of some: half of those are right by chance.
  CHECK(loss.log[0].tensor.item() > 0.65);
  CHECK(loss.total.value().item() < std::log(2) - 0.1);
}

TEST_CASE("score_sde and noisy_classifier say what they lack") {
  const std::unique_ptr<Model> model = score_sde();
  Generator generator(11);
  CHECK_THROWS_WITH_AS(model->prepare({}, 0, generator),
                       "score_sde: the batch has no tensor, from which this model learns", Error);
  CHECK_THROWS_WITH_AS(model->loss(two_gaussians(2, generator), 0, {}),
                       "score_sde: the batch has not been prepared", Error);
  CHECK_THROWS_WITH_AS(sampled(*model, {}, 2, 1),
                       "score_sde: only a classifier leads samples to a label: see sample.classifier", Error);
  CHECK(!model->sampler()->uses().label);
  CHECK_THROWS_AS(score_sde({}, score_sde()), Error);  // a run that is no classifier
  CHECK_THROWS_WITH_AS(score_sde({"score_sde.beta_min=30"}),
                       "section [score_sde]: sde: beta cannot rise from 30 to 20", Error);
  Settings settings(noisy_classifier_model().settings);
  CHECK_THROWS_WITH_AS(noisy_classifier_model().make(settings, {.value_shape = {2}}, {}, generator),
                       "noisy_classifier: the data have no labels, of which it could learn", Error);
  const std::unique_ptr<Model> classifier = made(noisy_classifier_model(), {});
  Batch unlabelled = two_gaussians(2, generator);
  unlabelled.labels = {};
  Batch wrong = two_gaussians(2, generator);
  wrong.values = zeros({2, 3});
  for (const Model* each : {model.get(), classifier.get()}) {
    CHECK_THROWS_WITH_AS(
        each->prepare(wrong, 0, generator),
        doctest::Contains("the batch's tensor has shape [2, 3], an example of this model has [2]"), Error);
  }
  CHECK_THROWS_WITH_AS(classifier->prepare(unlabelled, 0, generator),
                       "noisy_classifier: the batch has no labels, which this model needs", Error);
}

}  // namespace haze
