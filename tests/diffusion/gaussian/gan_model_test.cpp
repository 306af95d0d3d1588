#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/gan.h"
#include "haze/nn/ema.h"
#include "haze/nn/optimizer.h"

#include "diffusion/gaussian/eight_gaussians.h"
#include "nn/networks.h"

namespace haze {
namespace {

using namespace diffusion_test;

std::unique_ptr<Model> gan(const std::vector<std::string>& overrides = {}, DataFacts facts = {}) {
  Settings settings(gan_model().settings);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  gan_model().resolve(settings);
  if (facts.value_shape.empty()) facts.value_shape = {2};
  Generator generator(1);
  return gan_model().make(settings, facts, {}, generator);
}

Samples draw(const Model& model, int64_t count, const SampleObserver& observer = {}) {
  const Settings settings(gan_model().settings);
  Generator generator(9);
  return model.sampler()->sample(std::vector<Request>(static_cast<size_t>(count)), {settings, {}, observer},
                                 generator);
}

double logged(const Loss& loss, const std::string& name) {
  for (const NamedTensor& part : loss.log) {
    if (part.name == name) return part.tensor.item();
  }
  fail("{} is not logged", name);
}

const std::string kLosses[] = {"gan.loss=non-saturating", "gan.loss=wgan-gp"};

constexpr double kMean = 2, kDeviation = 0.5;

/// A GAN of N(kMean, kDeviation^2 I) in the plane, with its averaged weights.
std::unique_ptr<Model> trained_on_gaussian(const std::string& kind) {
  std::unique_ptr<Model> model =
      gan({kind, "gan.hidden=32", "gan.layers=1", "gan.discriminator_steps=2", "gan.penalty=1"});
  const std::vector<Objective> objectives = model->objectives();
  const AdamWHyperparameters adam{.beta1 = kind == kLosses[1] ? 0 : 0.5, .beta2 = 0.9, .weight_decay = 0};
  AdamW discriminator(objectives[0].parameters, adam), generator_optimizer(objectives[1].parameters, adam);
  Ema average(model->parameters(), 0.998);
  Generator generator(6);
  for (int step = 1; step <= 1500; ++step) {
    for (size_t objective : {0, 1}) {
      if (step % objectives[objective].every != 0) continue;
      const Tensor x = normal({64, 2}, generator, kMean, kDeviation);
      model->clear_gradients();
      backward(model->loss(model->prepare(batch_of(x), objective, generator), objective, {}).total);
      // With equal learning rates the generator circles around the data (Heusel et al. 2017).
      if (objective == 0) {
        discriminator.step(1e-2);
      } else {
        generator_optimizer.step(2e-3);
      }
    }
    average.update();
  }
  average.copy_to(*model);
  return model;
}

}  // namespace

TEST_CASE("a GAN has two objectives, which share no parameter and leave none out") {
  for (const auto& [loss, every] : {std::pair{kLosses[0], int64_t{1}}, {kLosses[1], 5}}) {
    const std::unique_ptr<Model> model = gan({loss});
    const std::vector<Objective> objectives = model->objectives();
    REQUIRE(objectives.size() == 2);
    CHECK(objectives[0].name == "discriminator");
    CHECK(objectives[0].every == 1);
    CHECK(objectives[1].name == "generator");
    CHECK(objectives[1].every == every);
    for (const NamedParameter& parameter : objectives[0].parameters)
      CHECK(parameter.name.starts_with("discriminator."));
    for (const NamedParameter& parameter : objectives[1].parameters)
      CHECK(parameter.name.starts_with("generator."));
    CHECK(objectives[0].parameters.size() + objectives[1].parameters.size() == model->parameters().size());
    CHECK(model->likelihood() == nullptr);
  }
  CHECK(gan({kLosses[1], "gan.discriminator_steps=3"})->objectives()[1].every == 3);
}

TEST_CASE("each loss of a GAN gives gradients to its own network and none to the other") {
  for (const std::string& loss : kLosses) {
    const std::unique_ptr<Model> model = gan({loss, "gan.hidden=8"});
    Generator generator(2);
    const Batch batch = batch_of(draw_eight_gaussians(20, generator));
    const std::vector<Objective> objectives = model->objectives();
    for (size_t objective : {0, 1}) {
      CAPTURE(objective);
      model->clear_gradients();
      backward(model->loss(model->prepare(batch, objective, generator), objective, {}).total);
      for (const NamedParameter& parameter : objectives[objective].parameters) {
        // The critic's last bias moves both means, and so nothing: its gradient is 0.
        CHECK_MESSAGE(parameter.variable->gradient().defined(), parameter.name);
      }
      for (const NamedParameter& parameter : objectives[1 - objective].parameters)
        CHECK_FALSE_MESSAGE(parameter.variable->gradient().defined(), parameter.name);
    }
  }
}

TEST_CASE("gradients of both losses of both kinds of GAN agree with central differences") {
  for (const std::string& kind : kLosses) {
    for (size_t objective : {0, 1}) {
      CAPTURE(kind);
      CAPTURE(objective);
      const std::unique_ptr<Model> model = gan({kind, "gan.hidden=4", "gan.layers=2"});
      model->to(Dtype::float64);
      nn_test::randomise(*model, 3, 0.6);
      Generator generator(4);
      const Tensor x = normal({3, 2}, generator, 0, 1, Dtype::float64);
      const Batch batch = model->prepare(batch_of(x), objective, generator);
      const auto loss = [&] { return model->loss(batch, objective, {}).total; };
      model->clear_gradients();
      backward(loss());
      constexpr double kStep = 1e-5;
      const std::vector<NamedParameter> own = model->objectives()[objective].parameters;
      for (const NamedParameter& parameter : own) {
        CAPTURE(parameter.name);
        const Tensor value = parameter.variable->value();
        const std::vector<double> start = value.to_vector<double>();
        std::vector<double> differences;
        for (size_t i = 0; i < start.size(); ++i) {
          const auto loss_at = [&](double shift) {
            std::vector<double> moved = start;
            moved[i] += shift;
            copy_into(value, Tensor::from(moved, value.shape()));
            return loss().value().item();
          };
          differences.push_back((loss_at(kStep) - loss_at(-kStep)) / (2 * kStep));
        }
        copy_into(value, Tensor::from(start, value.shape()));
        CHECK(nn_test::largest_difference(parameter.variable->gradient().to_vector<double>(), differences) <
              1e-6);
      }
    }
  }
}

TEST_CASE("a GAN logs how its discriminator tells real from fake") {
  Generator generator(5);
  const Batch batch = batch_of(draw_eight_gaussians(30, generator));
  const std::unique_ptr<Model> model = gan({"gan.hidden=8"});
  for (const NamedParameter& parameter : model->parameters()) fill(parameter.variable->value(), 0);
  const Loss undecided = model->loss(model->prepare(batch, 0, generator), 0, {});
  CHECK(logged(undecided, "probability_of_real") == doctest::Approx(0.5));
  CHECK(logged(undecided, "probability_of_fake") == doctest::Approx(0.5));
  CHECK(undecided.total.value().item() == doctest::Approx(std::log(4)));

  const std::unique_ptr<Model> critic = gan({kLosses[1], "gan.hidden=8", "gan.penalty=7"});
  const Loss loss = critic->loss(critic->prepare(batch, 0, generator), 0, {});
  const double difference = logged(loss, "critic_of_real") - logged(loss, "critic_of_fake");
  CHECK(logged(loss, "critic_difference") == doctest::Approx(difference).epsilon(1e-4));
  CHECK(loss.total.value().item() == doctest::Approx(7 * logged(loss, "penalty") - difference).epsilon(1e-5));
  CHECK(logged(loss, "critic_slope") > 0);
}

TEST_CASE("both kinds of GAN learn the mean of a Gaussian, and its deviation in four directions") {
  const nn_test::ThreadScope one(1);
  for (const std::string& kind : kLosses) {
    CAPTURE(kind);
    const std::unique_ptr<Model> model = trained_on_gaussian(kind);
    const std::vector<double> drawn = draw(*model, 2000).values.to_vector<double>();
    for (const double angle : {0.0, 45.0, 90.0, 135.0}) {
      const double x = std::cos(angle * M_PI / 180), y = std::sin(angle * M_PI / 180);
      double mean = 0, squares = 0;
      for (size_t i = 0; i < drawn.size(); i += 2) {
        const double along = (drawn[i] - kMean) * x + (drawn[i + 1] - kMean) * y;
        mean += along / 2000;
        squares += along * along / 2000;
      }
      const double deviation = std::sqrt(squares - mean * mean);
      MESSAGE(angle, " degrees: mean off by ", mean, ", deviation ", deviation, " of ", kDeviation);
      // Seeds differ by more than the 2000 draws do, whose standard errors are 0.011 and 0.008.
      CHECK(std::abs(mean) < kDeviation / 5);
      CHECK(std::abs(deviation - kDeviation) < kDeviation / 3);
    }
  }
}

TEST_CASE("an example of a GAN takes one call of the generator, and depends on its number alone") {
  const std::unique_ptr<Model> model = gan();
  int64_t observed = 0;
  const Samples many = draw(*model, 50, [&](const Snapshot& snapshot) { observed += snapshot.steps; });
  CHECK(observed == 1);
  CHECK(many.network_calls == 50);
  CHECK(draw(*model, 3).values.to_vector<float>() ==
        contiguous(slice(many.values, 0, 0, 3)).to_vector<float>());
}

TEST_CASE("images of a GAN are drawn in their shape and in its levels") {
  DataFacts facts;
  facts.value_shape = {1, 2, 3};
  facts.value_levels = 256;
  const std::unique_ptr<Model> model = gan({"gan.hidden=8"}, facts);
  nn_test::randomise(*model, 7, 2);
  const Tensor images = draw(*model, 20).values;
  CHECK(images.shape() == Shape{20, 1, 2, 3});
  for (const double pixel : images.to_vector<double>()) {
    const double level = (pixel + 1) / 2 * 255;
    CHECK(std::abs(level - std::round(level)) < 1e-4);
    CHECK(std::abs(pixel) <= 1);
  }
  Generator generator(8);
  const Batch batch = model->prepare(batch_of(images), 0, generator);
  CHECK(std::isfinite(model->loss(batch, 0, {}).total.value().item()));
}

TEST_CASE("a GAN says what it lacks") {
  const std::unique_ptr<Model> model = gan();
  Generator generator(10);
  CHECK_THROWS_WITH_AS(model->prepare({}, 0, generator),
                       "gan: the batch has no tensor, from which this model learns", Error);
  CHECK_THROWS_WITH_AS(model->loss(batch_of(zeros({4, 2})), 0, {}), "gan: the batch has not been prepared",
                       Error);
  CHECK_THROWS_WITH_AS(model->prepare(batch_of(zeros({4, 3})), 0, generator),
                       "gan: the batch's tensor has shape [4, 3], an example of this model has [2]", Error);
}

}  // namespace haze
