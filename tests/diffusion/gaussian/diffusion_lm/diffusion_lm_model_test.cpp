#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm_model.h"

#include <cmath>
#include <set>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/nn/optimizer.h"

#include "diffusion/gaussian/diffusion_lm/toy_training.h"
#include "diffusion/toy_language.h"
#include "nn/networks.h"

namespace haze {
namespace {

using Texts = std::vector<std::vector<int32_t>>;

// Of words 0 to 4 and the end, 5: four texts, each as likely as another.
const Texts kTexts = {{0, 1, 5}, {1, 2, 3, 5}, {2, 0, 1, 5}, {4, 5}};

Settings settings_of(const std::vector<std::string>& changes = {}) {
  const ModelInfo info = diffusion_lm_model();
  Settings settings(info.settings);
  for (const char* small : {"transformer.layers=1", "transformer.hidden=32", "transformer.heads=2",
                            "diffusion_lm.dimension=4", "diffusion_lm.steps=200", "sample.steps=50"})
    settings.override_with(small);
  for (const std::string& change : changes) settings.override_with(change);
  info.resolve(settings);
  return settings;
}

std::unique_ptr<Model> model_of(const Settings& settings) {
  Generator generator(1);
  const DataFacts facts{.vocabulary = 6, .mask_id = 6, .end_id = 5, .max_length = 4, .value_shape = {}};
  return diffusion_lm_model().make(settings, facts, {}, generator);
}

Batch all_texts(int copies) {
  Texts texts;
  for (int i = 0; i < copies; ++i) texts.insert(texts.end(), kTexts.begin(), kTexts.end());
  return diffusion_test::batch_of(texts);
}

void train(Model& model, int steps) {
  diffusion_test::train_on(model, all_texts(8), steps, 2);
}

BoundEstimate bound_of(const Model& model, int passes = 20) {
  Generator generator(3);
  const Batch batch = all_texts(16);
  return estimate_bound(*model.likelihood(), std::span(&batch, 1), {.passes = passes}, generator);
}

Samples samples_of(const Model& model, const Settings& settings, const std::vector<Request>& requests,
                   uint64_t seed = 4) {
  Generator generator(seed);
  return model.sampler()->sample(requests, {settings, {}, {}}, generator);
}

}  // namespace

TEST_CASE("Diffusion-LM learns four texts: the bound comes near their entropy, and samples are texts") {
  const nn_test::ThreadScope one(1);
  const Settings settings = settings_of();
  const auto model = model_of(settings);
  const double untrained = bound_of(*model).nats_per_example();
  train(*model, 800);
  const BoundEstimate bound = bound_of(*model);
  MESSAGE("bound ", bound.nats_per_example(), " +- ", bound.standard_error / 64, " nats a text, log 4 is ",
          std::log(4.0), ", untrained ", untrained);
  CHECK(bound.nats_per_example() > std::log(4.0) - 3 * bound.standard_error / 64);
  CHECK(bound.nats_per_example() < std::log(4.0) + 1);
  CHECK(untrained > 5);
  const std::set<std::vector<int32_t>> known(kTexts.begin(), kTexts.end());
  for (const char* sampler : {"ancestral", "ddim", "dpm-solver"}) {
    Settings own = settings;
    own.override_with(std::string("sample.sampler=") + sampler);
    const Samples samples = samples_of(*model, own, std::vector<Request>(30));
    CHECK(samples.network_calls == 30 * 50);
    std::set<std::vector<int32_t>> seen;
    int right = 0;
    for (const auto& text : samples.texts) {
      right += known.contains(text);
      if (known.contains(text)) seen.insert(text);
    }
    CHECK(right >= 25);
    CHECK(seen.size() == 4);
  }
}

TEST_CASE(
    "most gaps and prompts are completed to the one text that has them, more where given words are clean") {
  const nn_test::ThreadScope one(1);
  Settings settings = settings_of();
  const auto model = model_of(settings);
  train(*model, 600);
  constexpr int kEach = 30;
  std::vector<Request> requests(kEach, {.start = {1, 0, 3, 5}, .fixed = {1, 0, 1, 1}, .source = {}});
  requests.insert(requests.end(), kEach, {.start = {2}, .fixed = {1}, .source = {}});
  const auto completed = [&] {
    const Samples samples = samples_of(*model, settings, requests);
    int right = 0;
    for (size_t i = 0; i < kEach; ++i) {
      right += samples.texts[i] == std::vector<int32_t>{1, 2, 3, 5};
      right += samples.texts[kEach + i] == std::vector<int32_t>{2, 0, 1, 5};
    }
    return right;
  };
  const int clean = completed();
  settings.override_with("sample.given=noised");
  const int noised = completed();
  MESSAGE(clean, " of 60 with clean words, ", noised, " with noised ones");
  CHECK(clean >= 45);
  CHECK(noised >= 20);
  CHECK(clean > noised);
}

TEST_CASE("each recipe and option learns: 60 steps lower the loss of the same batch") {
  const nn_test::ThreadScope one(1);
  const std::vector<std::vector<std::string>> rows = {
      {"diffusion_lm.recipe=paper"},
      {"diffusion_lm.recipe=paper", "diffusion_lm.prediction=epsilon"},
      {"diffusion_lm.recipe=paper", "diffusion_lm.prediction=v"},
      {"diffusion_lm.output=words"},
      {"diffusion_lm.padding=none"},
      {"diffusion_lm.self_conditioning=true"},
      {"diffusion_lm.embedding_norm=free", "diffusion_lm.rounding=linear"}};
  for (const std::vector<std::string>& row : rows) {
    CAPTURE(row.back());
    const auto model = model_of(settings_of(row));
    Generator generator(5);
    const Batch batch = model->prepare(all_texts(32), 0, generator);
    const double before = model->loss(batch, 0, {}).total.value().item();
    train(*model, 60);
    CHECK(model->loss(batch, 0, {}).total.value().item() < 0.9 * before);
  }
}

TEST_CASE("all terms of the bound add up to its estimate (4 standard errors)") {
  const nn_test::ThreadScope one(1);
  for (const char* recipe : {"diffusion_lm.recipe=plaid", "diffusion_lm.recipe=paper"}) {
    const auto model = model_of(settings_of({recipe, "diffusion_lm.steps=10"}));
    CHECK(model->likelihood()->terms() == 10);
    Generator generator(6);
    const Batch batch = all_texts(4);
    const BoundEstimate all = estimate_bound(*model->likelihood(), std::span(&batch, 1),
                                             {.passes = 40, .every_term = true}, generator);
    const BoundEstimate drawn =
        estimate_bound(*model->likelihood(), std::span(&batch, 1), {.passes = 200}, generator);
    CHECK(std::abs(all.nats - drawn.nats) < 4 * std::hypot(all.standard_error, drawn.standard_error));
  }
}

TEST_CASE(
    "what prepare draws repeats, a loss names it, and units count the rows that the loss is a mean over") {
  const auto model = model_of(settings_of());
  Generator one(7), two(7);
  const Loss first = model->loss(model->prepare(all_texts(1), 0, one), 0, {});
  const Loss again = model->loss(model->prepare(all_texts(1), 0, two), 0, {});
  CHECK(first.total.value().item() == again.total.value().item());
  std::set<std::string> names;
  for (const NamedTensor& input : first.inputs) names.insert(input.name);
  CHECK(names == std::set<std::string>{"ids", "offsets", "t", "x_0_noise", "x_t_noise"});
  CHECK(model->units(all_texts(1)) == 16);  // four texts of four rows
  CHECK(model_of(settings_of({"diffusion_lm.padding=none"}))->units(all_texts(1)) == 13);
}

TEST_CASE("of several candidates one is returned, and the observer sees the first of each request") {
  const Settings settings = settings_of({"sample.candidates=3", "sample.steps=5"});
  const auto model = model_of(settings);
  Generator generator(8);
  int64_t seen = 0;
  const Samples samples = model->sampler()->sample(std::vector<Request>(2),
                                                   {settings,
                                                    {},
                                                    [&](const Snapshot& snapshot) {
                                                      CHECK(snapshot.texts->size() == 2);
                                                      CHECK(snapshot.time.size() == 2);
                                                      CHECK(snapshot.steps == 5);
                                                      ++seen;
                                                    }},
                                                   generator);
  CHECK(samples.texts.size() == 2);
  CHECK(samples.network_calls == 2 * 3 * 5);
  CHECK(seen == 6);
}

TEST_CASE("recipes set what is auto, and contradictions are refused in a sentence") {
  CHECK(settings_of().text("diffusion_lm.output") == "words-with-likelihood");
  CHECK(settings_of().text("diffusion_lm.embedding_norm") == "fixed");
  const Settings paper = settings_of({"diffusion_lm.recipe=paper", "diffusion_lm.variance=small"});
  CHECK(paper.text("diffusion_lm.output") == "vector");
  CHECK(paper.text("diffusion_lm.rounding") == "linear");
  CHECK(paper.text("diffusion_lm.variance") == "small");
  CHECK_THROWS_WITH(settings_of({"diffusion_lm.prediction=v"}),
                    "diffusion_lm.prediction v is of an output that is a vector, and diffusion_lm.output is "
                    "words-with-likelihood");
  CHECK_THROWS_WITH(settings_of({"transformer.time=none"}),
                    "diffusion_lm: the network has to know the time; transformer.time must not be none");
  const auto model = model_of(settings_of());
  Generator generator(9);
  const Batch wrong = diffusion_test::batch_of(Texts{{1, 6}});
  CHECK_THROWS_WITH(model->prepare(wrong, 0, generator),
                    "diffusion_lm: token 6 is outside the vocabulary of 6");
  CHECK_THROWS_WITH(model->loss(all_texts(1), 0, {}), "diffusion_lm: the batch has not been prepared");
  const Settings many = settings_of({"sample.steps=201"});
  CHECK_THROWS_WITH(samples_of(*model, many, std::vector<Request>(1)),
                    "sample.steps is 201, more than the 200 of diffusion_lm.steps");
}

}  // namespace haze
