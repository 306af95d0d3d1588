#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/diffusion/gaussian/discretized_gaussian.h"
#include "haze/diffusion/gaussian/vae.h"
#include "haze/nn/optimizer.h"

#include "diffusion/gaussian/eight_gaussians.h"
#include "nn/networks.h"

namespace haze {
namespace {

using namespace diffusion_test;

std::unique_ptr<Model> vae(const std::vector<std::string>& overrides = {}, DataFacts facts = {}) {
  Settings settings(vae_model().settings);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  if (facts.value_shape.empty()) facts.value_shape = {2};
  Generator generator(1);
  return vae_model().make(settings, facts, {}, generator);
}

DataFacts small_images() {
  DataFacts facts;
  facts.value_shape = {1, 2, 3};
  facts.value_levels = 256;
  return facts;
}

Tensor random_images(int64_t count, Generator& generator) {
  std::vector<float> pixels;
  for (int64_t i = 0; i < count * 6; ++i)
    pixels.push_back(2 * static_cast<float>(generator.below(256)) / 255 - 1);
  return Tensor::from(pixels, {count, 1, 2, 3});
}

Samples draw(const Model& model, int64_t count, const std::vector<std::string>& overrides = {},
             const SampleObserver& observer = {}) {
  Settings settings(vae_model().settings);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  Generator generator(9);
  return model.sampler()->sample(std::vector<Request>(static_cast<size_t>(count)), {settings, {}, observer},
                                 generator);
}

Variable& parameter_of(Model& model, const std::string& name) {
  for (const NamedParameter& parameter : model.parameters()) {
    if (parameter.name == name) return *parameter.variable;
  }
  fail("no parameter {}", name);
}

/// p(x | z) = N(0, I) and q(z | x) = N(0, I): all weights are 0.
std::unique_ptr<Model> model_of_nothing(const std::vector<std::string>& overrides, DataFacts facts = {}) {
  std::unique_ptr<Model> model = vae(overrides, std::move(facts));
  for (const NamedParameter& parameter : model->parameters()) fill(parameter.variable->value(), 0);
  return model;
}

}  // namespace

TEST_CASE("700 steps of a VAE on eight Gaussians beat the best single Gaussian by 0.3 nats") {
  const nn_test::ThreadScope one(1);
  constexpr int kSteps = 700;
  const std::vector<std::string> settings = {"vae.hidden=64"};
  const std::unique_ptr<Model> model = vae(settings);
  Generator generator(2);
  AdamW optimizer(model->parameters());
  for (int step = 0; step < kSteps; ++step) {
    const Batch batch = model->prepare(batch_of(draw_eight_gaussians(256, generator)), 0, generator);
    model->clear_gradients();
    backward(model->loss(batch, 0, {.training = true, .generator = &generator}).total);
    optimizer.step(1e-2 * 0.5 * (1 + std::cos(M_PI * step / kSteps)));
  }
  const std::vector<Batch> held_out = {batch_of(draw_eight_gaussians(2000, generator))};
  const BoundEstimate bound = estimate_bound(*model->likelihood(), held_out, {.passes = 8}, generator);
  // The examples are drawn too: 2000 have a standard error of about 0.03 nats.
  MESSAGE("bound ", bound.nats_per_example(), " nats a point, one Gaussian ", single_gaussian_nats(),
          ", entropy ", eight_gaussians_entropy());
  CHECK(bound.nats_per_example() < single_gaussian_nats() - 0.3);
  CHECK(bound.nats_per_example() > eight_gaussians_entropy() - 0.12);

  // The same weights with 50 importance samples: closer to -log p.
  std::vector<std::string> weighted_settings = settings;
  weighted_settings.emplace_back("sample.importance_samples=50");
  const std::unique_ptr<Model> weighted = vae(weighted_settings);
  for (const NamedParameter& parameter : model->parameters())
    copy_into(parameter_of(*weighted, parameter.name).value(), parameter.variable->value());
  const BoundEstimate tighter = estimate_bound(*weighted->likelihood(), held_out, {.passes = 4}, generator);
  MESSAGE("50 importance samples ", tighter.nats_per_example());
  CHECK(tighter.nats + 4 * std::hypot(tighter.standard_error, bound.standard_error) < bound.nats);

  const std::vector<double> shares = shares_of_modes(draw(*model, 4000).values);
  const double share = std::accumulate(shares.begin(), shares.end(), 0.0);
  MESSAGE("share of samples within 3 standard deviations of a mode ", share);
  for (const double of_mode : shares) CHECK(of_mode > 0.02);
}

TEST_CASE("the loss is beta KL - log p(x|z) a number, and the bound is the loss with beta 1") {
  Generator generator(3);
  const Tensor x = normal({5, 2}, generator);
  const auto loss_of = [&](const std::string& beta) {
    Generator noise(4);
    const std::unique_ptr<Model> model = vae({"vae.hidden=8", "vae.beta=" + beta});
    return model->loss(model->prepare(batch_of(x), 0, noise), 0, {});
  };
  const Loss one = loss_of("1"), four = loss_of("4");
  const double kl = one.log.at(0).tensor.item(), reconstruction = one.log.at(1).tensor.item();
  CHECK(one.log.at(0).name == "kl");
  CHECK(kl > 0);
  CHECK(one.total.value().item() == doctest::Approx(kl + reconstruction).epsilon(1e-6));
  CHECK(four.total.value().item() == doctest::Approx(4 * kl + reconstruction).epsilon(1e-6));

  Generator noise(4);
  const std::unique_ptr<Model> model = vae({"vae.hidden=8", "vae.beta=4"});
  const std::vector<double> nats = model->likelihood()->draw_nats(batch_of(x), noise);
  CHECK(std::accumulate(nats.begin(), nats.end(), 0.0) / 10 ==
        doctest::Approx(one.total.value().item()).epsilon(1e-6));
}

TEST_CASE(
    "the mean over importance weights of a one-sample estimate is the ELBO's, within 4 standard errors") {
  const std::unique_ptr<Model> model = vae({"vae.hidden=16", "sample.importance_samples=1"});
  nn_test::randomise(*model, 5, 0.3);
  Generator generator(6);
  const std::vector<Batch> data = {batch_of(draw_eight_gaussians(200, generator))};
  const BoundEstimate elbo = estimate_bound(*model->likelihood(), data, {.passes = 200}, generator);
  const std::unique_ptr<Model> two = vae({"vae.hidden=16", "sample.importance_samples=2"});
  nn_test::randomise(*two, 5, 0.3);
  const BoundEstimate tighter = estimate_bound(*two->likelihood(), data, {.passes = 200}, generator);
  CHECK(tighter.nats < elbo.nats - 4 * std::hypot(tighter.standard_error, elbo.standard_error));
  CHECK_FALSE(model->likelihood()->is_exact());
  CHECK(model->likelihood()->terms() == 0);
}

TEST_CASE("a decoder that ignores z bounds points by N(0, I), and images by the mass of their bins") {
  Generator generator(7);
  const Tensor x = normal({4, 2}, generator);
  const std::vector<double> of_points = model_of_nothing({})->likelihood()->draw_nats(batch_of(x), generator);
  const std::vector<double> numbers = x.to_vector<double>();
  for (size_t i = 0; i < 4; ++i) {
    const double square = numbers[2 * i] * numbers[2 * i] + numbers[2 * i + 1] * numbers[2 * i + 1];
    CHECK(of_points[i] == doctest::Approx(0.5 * square + std::log(2 * M_PI)).epsilon(1e-5));
  }

  const Tensor images = random_images(4, generator);
  const std::vector<double> of_images =
      model_of_nothing({}, small_images())->likelihood()->draw_nats(batch_of(images), generator);
  const std::vector<double> pixels = images.to_vector<double>();
  for (size_t i = 0; i < 4; ++i) {
    double expected = 0;
    for (size_t j = 0; j < 6; ++j) {
      const double pixel = pixels[6 * i + j];
      const double below = pixel < -0.999 ? 0 : 0.5 * std::erfc(-(pixel - 1.0 / 255) / std::sqrt(2.0));
      const double up_to = pixel > 0.999 ? 1 : 0.5 * std::erfc(-(pixel + 1.0 / 255) / std::sqrt(2.0));
      expected -= std::log(up_to - below);
    }
    CHECK(of_images[i] == doctest::Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("gradients of a VAE's loss agree with central differences, for points and images") {
  for (const char* variance : {"scalar", "dimension"}) {
    for (const bool images : {false, true}) {
      const std::unique_ptr<Model> model = vae(
          {"vae.hidden=3", "vae.layers=1", "vae.decoder_samples=2", std::string("vae.variance=") + variance},
          images ? small_images() : DataFacts{});
      model->to(Dtype::float64);
      nn_test::randomise(*model, 8, 0.4);
      Generator generator(9);
      const Tensor x = images ? cast(random_images(2, generator), Dtype::float64)
                              : normal({3, 2}, generator, 0, 1, Dtype::float64);
      const Batch batch = model->prepare(batch_of(x), 0, generator);
      nn_test::check_gradients("vae", *model, {},
                               [&](const nn_test::Inputs&) { return model->loss(batch, 0, {}).total; });
    }
  }
}

TEST_CASE(
    "an example of a VAE depends on its number alone; draws have the decoder's variance around its mean") {
  const std::unique_ptr<Model> model = vae({"vae.hidden=8"});
  copy_into(parameter_of(*model, "decoder_log_variance").value(), full({1}, std::log(0.09)));
  const Tensor few = draw(*model, 3).values, many = draw(*model, 20000).values;
  CHECK(few.to_vector<float>() == contiguous(slice(many, 0, 0, 3)).to_vector<float>());
  const std::vector<double> drawn = many.to_vector<double>();
  const std::vector<double> means = draw(*model, 20000, {"sample.decoder=mean"}).values.to_vector<double>();
  double sum = 0, squares = 0;
  for (size_t i = 0; i < drawn.size(); ++i) {
    sum += drawn[i] - means[i];
    squares += (drawn[i] - means[i]) * (drawn[i] - means[i]);
  }
  const double n = static_cast<double>(drawn.size());
  CHECK(std::abs(sum / n) < 4 * 0.3 / std::sqrt(n));
  CHECK(std::abs(squares / n - 0.09) < 4 * 0.09 * std::sqrt(2 / n));
}

TEST_CASE("images of a VAE are drawn in their shape, in its levels, in one call of the network each") {
  const std::unique_ptr<Model> model = vae({"vae.hidden=8"}, small_images());
  int64_t observed = 0;
  const Samples samples = draw(*model, 5, {}, [&](const Snapshot& snapshot) {
    observed += snapshot.steps;
    CHECK(snapshot.step == 1);
    CHECK(snapshot.values->shape() == Shape{5, 1, 2, 3});
  });
  CHECK(observed == 1);
  CHECK(samples.network_calls == 5);
  CHECK(samples.values.shape() == Shape{5, 1, 2, 3});
  for (const double pixel : samples.values.to_vector<double>()) {
    const double level = (pixel + 1) / 2 * 255;
    CHECK(std::abs(level - std::round(level)) < 1e-4);
    CHECK(std::abs(pixel) <= 1);
  }
}

TEST_CASE("a VAE says what it lacks") {
  const std::unique_ptr<Model> model = vae();
  Generator generator(10);
  CHECK_THROWS_WITH_AS(model->prepare({}, 0, generator),
                       "vae: the batch has no tensor, from which this model learns", Error);
  CHECK_THROWS_WITH_AS(model->prepare(batch_of(zeros({4, 3})), 0, generator),
                       "vae: the batch's tensor has shape [4, 3], an example of this model has [2]", Error);
  CHECK_THROWS_AS(model->prepare(batch_of(zeros({0, 2})), 0, generator), Error);
  CHECK_THROWS_WITH_AS(model->loss(batch_of(zeros({4, 2})), 0, {}), "vae: the batch has not been prepared",
                       Error);
  CHECK_THROWS_WITH_AS(vae_model().make(Settings(vae_model().settings), DataFacts{}, {}, generator),
                       "vae: the data are no tensors", Error);
}

}  // namespace haze
