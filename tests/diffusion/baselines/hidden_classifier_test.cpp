#include "haze/diffusion/baselines/hidden_classifier.h"

#include <cmath>

#include <doctest/doctest.h>

#include "error_of.h"
#include "nn/networks.h"

namespace haze {
namespace {

using testing::error_of;
using Tokens = std::vector<int32_t>;

constexpr int32_t kEnd = 5;

DataFacts facts() {
  return {.vocabulary = 6, .mask_id = 6, .end_id = kEnd, .max_length = 5, .max_source_length = 3};
}

Settings language_model_settings(bool ignore_source = true) {
  SettingsTable table = autoregressive_model().settings;
  table.push_back(text_setting("model", "autoregressive", "as in a run's settings"));
  Settings settings(table);
  for (const char* assignment : {"transformer.layers=2", "transformer.hidden=8", "transformer.heads=2"})
    settings.override_with(assignment);
  settings.override_with(fmt::format("autoregressive.ignore_source={}", ignore_source));
  return settings;
}

FrozenModel frozen(bool ignore_source = true, uint64_t seed = 2, Dtype dtype = Dtype::float64) {
  Generator generator(1);
  const Settings settings = language_model_settings(ignore_source);
  std::shared_ptr<Model> model = autoregressive_model().make(settings, facts(), {}, generator);
  nn_test::randomise(*model, seed, 0.6);
  model->to(dtype);
  return {model, facts(), settings};
}

Settings classifier_settings() {
  Settings settings(hidden_classifier_model().settings);
  settings.override_with("hidden_classifier.width=7");
  return settings;
}

std::shared_ptr<HiddenClassifier> classifier_of(const FrozenModel& run) {
  Generator generator(3);
  auto model = std::make_shared<HiddenClassifier>(classifier_settings(), facts(), run, generator);
  nn_test::randomise(*model, 4, 0.6);
  model->to(Dtype::float64);
  return model;
}

// The mean of the states of [end, text], one after another through a cache.
std::vector<double> mean_by_hand(const CausalTransformer& network, const Tokens& text) {
  const NoGradient scope;
  TransformerCache cache;
  std::vector<double> mean(8, 0);
  Tokens read = {kEnd};
  read.insert(read.end(), text.begin(), text.end());
  for (const int32_t token : read) {
    const std::vector<double> state =
        network.hidden_after(Tensor::from<int32_t>({token}, {1, 1}), cache).value().to_vector<double>();
    for (size_t i = 0; i < 8; ++i) mean[i] += state[i] / static_cast<double>(read.size());
  }
  return mean;
}

std::vector<double> numbers(Module& module, const std::string& name) {
  for (const NamedParameter& parameter : module.parameters()) {
    if (parameter.name == name) return parameter.variable->value().to_vector<double>();
  }
  fail("there is no {}", name);
}

// c of a control and a mean state, in plain loops.
double logit_by_hand(HiddenClassifier& model, const Tokens& control, const std::vector<double>& mean) {
  const auto tokens = numbers(model, "token_embedding.weight"),
             positions = numbers(model, "position_embedding.weight");
  const auto first = numbers(model, "first.weight"), first_bias = numbers(model, "first.bias");
  const auto second = numbers(model, "second.weight"), second_bias = numbers(model, "second.bias");
  std::vector<double> read(7, 0), inner(7), weights(9);
  for (size_t i = 0; i < control.size(); ++i) {
    for (size_t j = 0; j < 7; ++j) {
      read[j] += (tokens[static_cast<size_t>(control[i]) * 7 + j] + positions[i * 7 + j]) /
                 static_cast<double>(control.size());
    }
  }
  for (size_t i = 0; i < 7; ++i) {
    double x = first_bias[i];
    for (size_t j = 0; j < 7; ++j) x += first[i * 7 + j] * read[j];
    inner[i] = x / (1 + std::exp(-x));
  }
  for (size_t i = 0; i < 9; ++i) {
    weights[i] = second_bias[i];
    for (size_t j = 0; j < 7; ++j) weights[i] += second[i * 7 + j] * inner[j];
  }
  double c = weights[8];
  for (size_t i = 0; i < 8; ++i) c += weights[i] * mean[i];
  return c;
}

Batch two_pairs() {
  Batch batch;
  batch.source = TextBatch::of(std::vector<Tokens>{{1, 2}, {3, 0, 4}});
  batch.target = TextBatch::of(std::vector<Tokens>{{0, 4, kEnd}, {2, kEnd}});
  return batch;
}

}  // namespace

TEST_CASE("hidden_classifier: the loss is that of the mean hidden states, half of it of others' controls") {
  const FrozenModel run = frozen();
  const auto model = classifier_of(run);
  const std::vector<Tokens> controls = {{1, 2}, {3, 0, 4}}, texts = {{0, 4, kEnd}, {2, kEnd}};
  double nats = 0;
  for (size_t i = 0; i < 2; ++i) {
    const std::vector<double> mean = mean_by_hand(model->language_model().network(), texts[i]);
    nats += std::log1p(std::exp(-logit_by_hand(*model, controls[i], mean))) / 4;
    nats += std::log1p(std::exp(logit_by_hand(*model, controls[1 - i], mean))) / 4;
  }
  Generator generator(5);
  const Batch batch = model->prepare(two_pairs(), 0, generator);
  const Loss loss = model->loss(batch, 0, {});
  CHECK(loss.total.value().item() == doctest::Approx(nats).epsilon(1e-12));
  CHECK(model->units(batch) == 2);
}

TEST_CASE("hidden_classifier: training changes all of the classifier and nothing of the language model") {
  const FrozenModel run = frozen();
  const auto model = classifier_of(run);
  Generator generator(5);
  backward(model->loss(model->prepare(two_pairs(), 0, generator), 0, {}).total);
  for (const NamedParameter& parameter : model->parameters())
    CHECK_MESSAGE(parameter.variable->gradient().defined(), parameter.name);
  for (const NamedParameter& parameter : run.model->parameters())
    CHECK_MESSAGE(!parameter.variable->gradient().defined(), parameter.name);
}

TEST_CASE("hidden_classifier: pplm leads the very language model that it was trained on") {
  const FrozenModel run = frozen(true, 2, Dtype::float32);
  const FrozenModel classifier{classifier_of(frozen(true, 2, Dtype::float32)), facts(),
                               classifier_settings()};
  classifier.model->to(Dtype::float32);
  Settings settings = language_model_settings();
  settings.override_with("sample.sampler=pplm");
  const auto drawn_by = [&](uint64_t weights) {
    Generator generator(1);
    const std::unique_ptr<Model> model =
        autoregressive_model().make(settings, facts(), {classifier}, generator);
    nn_test::randomise(*model, weights, 0.6);
    CHECK(model->sampler()->uses().source);
    return model->sampler()->sample(std::vector<Request>{{.source = {1, 2}}}, {settings, {}, {}}, generator);
  };
  CHECK_FALSE(drawn_by(2).texts[0].empty());
  CHECK(error_of([&] { drawn_by(9); }) ==
        "sample.classifier was trained on hidden states of another run, or of other weights of this one");
  settings.override_with("sample.sampler=fudge");
  CHECK(error_of([&] { drawn_by(2); }) ==
        "sample.sampler fudge needs a prefix_classifier, and sample.classifier names a run of another model");
  settings.override_with("sample.sampler=ancestral");
  CHECK(error_of([&] { drawn_by(2); }) ==
        "sampling: text 0 has a source text, and sample.sampler ancestral leads to none; fudge and pplm do");
  settings.override_with("sample.sampler=pplm");
  settings.override_with("autoregressive.ignore_source=false");
  CHECK(
      error_of([&] { drawn_by(2); }) ==
      "sample.sampler pplm leads a model that reads no source; train one with autoregressive.ignore_source");
}

TEST_CASE("hidden_classifier: runs and data that it cannot learn from give a sentence") {
  const auto error = [](const FrozenModel& run, const DataFacts& data) {
    Generator generator(1);
    return error_of([&] { HiddenClassifier(classifier_settings(), data, run, generator); });
  };
  const Settings settings = language_model_settings();
  CHECK(error({nullptr, {}, settings}, facts()) ==
        "hidden_classifier: hidden_classifier.run must name the run whose hidden states it reads");
  CHECK(error({nullptr, {}, settings}, {.vocabulary = 6, .max_length = 5}) ==
        "hidden_classifier: the texts have no sources, which are the controls");
  CHECK(error(frozen(false), facts()) ==
        "hidden_classifier.run names a run of the model autoregressive, which reads the control; it must be "
        "autoregressive with autoregressive.ignore_source");
  DataFacts larger = facts();
  larger.vocabulary = 7;
  CHECK(error(frozen(), larger) ==
        "hidden_classifier: it has learned from texts of 6 tokens, and these have 7; both must be trained on "
        "the "
        "same data");
}

TEST_CASE("an autoregressive model takes no classifier of another kind, nor of other texts") {
  const FrozenModel run = frozen();
  const auto error = [](const FrozenModel& classifier, const DataFacts& data) {
    Generator generator(1);
    Settings settings = language_model_settings(false);
    return error_of([&] { autoregressive_model().make(settings, data, {classifier}, generator); });
  };
  CHECK(error(run, facts()) ==
        "sample.classifier names a run of the model autoregressive; it must be a prefix_classifier (fudge) "
        "or a "
        "hidden_classifier (pplm)");
  FrozenModel classifier{classifier_of(run), facts(), classifier_settings()};
  CHECK(error(classifier, facts()).empty());
  DataFacts without = facts();
  without.max_source_length = 0;
  CHECK(error(classifier, without) ==
        "sample.classifier: the model has learned texts without sources, which are the controls");
  classifier.facts.vocabulary = 9;
  CHECK(error(classifier, facts()).find("sample.classifier: it has learned from texts of 9 tokens") == 0);
}

}  // namespace haze
