#include "haze/diffusion/baselines/prefix_classifier.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/nn/optimizer.h"
#include "haze/nn/transformer_settings.h"

#include "error_of.h"
#include "nn/networks.h"

namespace haze {
namespace {

using testing::error_of;
using Tokens = std::vector<int32_t>;

constexpr int32_t kEnd = 7, kVocabulary = 8;

DataFacts facts() {
  return {.vocabulary = kVocabulary,
          .mask_id = kVocabulary,
          .end_id = kEnd,
          .max_length = 6,
          .max_source_length = 3};
}

std::unique_ptr<PrefixClassifier> tiny_classifier(const std::vector<std::string>& overrides = {}) {
  Settings settings(prefix_classifier_model().settings);
  for (const char* assignment : {"transformer.layers=2", "transformer.hidden=16", "transformer.heads=2"})
    settings.override_with(assignment);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  Generator generator(1);
  std::unique_ptr<Model> model = prefix_classifier_model().make(settings, facts(), {}, generator);
  return std::unique_ptr<PrefixClassifier>(dynamic_cast<PrefixClassifier*>(model.release()));
}

std::unique_ptr<PrefixClassifier> random_classifier(const std::vector<std::string>& overrides = {}) {
  auto model = tiny_classifier(overrides);
  nn_test::randomise(*model, 2, 0.6);
  model->to(Dtype::float64);
  return model;
}

// c of a text after a control, read at once and by itself.
double logit_of(const PrefixClassifier& model, Tokens control, const Tokens& prefix) {
  const NoGradient scope;
  control.push_back(kEnd);
  control.insert(control.end(), prefix.begin(), prefix.end());
  const TextBatch batch = TextBatch::of(std::vector<Tokens>{control});
  const Tensor last = Tensor::from({static_cast<int32_t>(control.size()) - 1}, {1});
  return model.logits(batch.ids, batch.sequences, last, {}).value().to_vector<double>()[0];
}

Batch pairs(const std::vector<Tokens>& controls, const std::vector<Tokens>& texts) {
  Batch batch;
  batch.source = TextBatch::of(controls);
  batch.target = TextBatch::of(texts);
  return batch;
}

// The control is the number of words of the text: token n for n of the words 4 and 5.
Batch texts_of_lengths(int64_t count, Generator& generator) {
  std::vector<Tokens> controls, texts;
  for (int64_t i = 0; i < count; ++i) {
    const auto words = static_cast<int32_t>(3 * generator.uniform());
    Tokens text;
    for (int32_t j = 0; j < words; ++j) text.push_back(generator.uniform() < 0.5 ? 4 : 5);
    text.push_back(kEnd);
    controls.push_back({words});
    texts.push_back(text);
  }
  return pairs(controls, texts);
}

double sigma(double c) {
  return 1 / (1 + std::exp(-c));
}

}  // namespace

TEST_CASE("prefix_classifier: all candidates at once have the logits of each prefix by itself (float64)") {
  for (const char* positions : {"learned", "rotary", "sinusoidal"}) {
    const auto model = random_classifier({std::string("transformer.positions=") + positions});
    const auto scorer = model->scorer();
    scorer->read(Tensor::from<int32_t>({1, 2, kEnd, 0, 3, 2, kEnd, 1}, {2, 4}));
    scorer->read(Tensor::from<int32_t>({4, 5}, {2, 1}));
    scorer->select(Tensor::from<int32_t>({1, 0, 1}, {3}));
    scorer->read(Tensor::from<int32_t>({6, 6, 2}, {3, 1}));
    const std::vector<Tokens> controls = {{3, 2}, {1, 2}, {3, 2}};
    const std::vector<Tokens> prefixes = {{1, 5, 6}, {0, 4, 6}, {1, 5, 2}};
    const Tokens candidates = {0, 1, kEnd, 3, 2, 2, 5, kEnd, 0};
    const std::vector<double> logits = scorer->logits(Tensor::from(candidates, {3, 3})).to_vector<double>();
    for (size_t i = 0; i < candidates.size(); ++i) {
      Tokens prefix = prefixes[i / 3];
      prefix.push_back(candidates[i]);
      CHECK(logits[i] == doctest::Approx(logit_of(*model, controls[i / 3], prefix)).epsilon(1e-11));
    }
  }
}

TEST_CASE("prefix_classifier: the loss is the mean over texts' prefixes, half of it of others' controls") {
  const auto model = random_classifier();
  const std::vector<Tokens> controls = {{1, 2}, {3}}, texts = {{0, 4, kEnd}, {5, kEnd}};
  double nats = 0, count = 0;
  for (size_t i = 0; i < 2; ++i) {
    for (size_t length = 1; length <= texts[i].size(); ++length) {
      const Tokens prefix(texts[i].begin(), texts[i].begin() + static_cast<std::ptrdiff_t>(length));
      nats -= 0.5 * std::log(sigma(logit_of(*model, controls[i], prefix)));
      nats -= 0.5 * std::log(1 - sigma(logit_of(*model, controls[1 - i], prefix)));
      ++count;
    }
  }
  Generator generator(3);
  const Batch batch = model->prepare(pairs(controls, texts), 0, generator);
  CHECK(model->loss(batch, 0, {}).total.value().item() == doctest::Approx(nats / count).epsilon(1e-12));
  CHECK(model->units(batch) == 5);
}

TEST_CASE("prefix_classifier: a prefix that contradicts its control gets a low probability") {
  const nn_test::ThreadScope one(1);
  const auto model = tiny_classifier({"transformer.layers=1"});
  AdamW optimizer(model->parameters());
  Generator generator(4);
  constexpr int kSteps = 500;
  for (int step = 0; step < kSteps; ++step) {
    const Batch batch = model->prepare(texts_of_lengths(16, generator), 0, generator);
    model->clear_gradients();
    backward(model->loss(batch, 0, {.training = true, .generator = &generator}).total);
    optimizer.step(1e-2 * 0.5 * (1 + std::cos(M_PI * step / kSteps)), clip_scale(model->parameters(), 1.0));
  }
  for (int32_t words = 0; words < 3; ++words) {
    const Tokens text(static_cast<size_t>(words), 4);
    Tokens ended = text;
    ended.push_back(kEnd);
    CHECK(sigma(logit_of(*model, {words}, ended)) > 0.9);
    for (int32_t other = 0; other < 3; ++other) {
      CAPTURE(words);
      CAPTURE(other);
      if (other != words) CHECK(sigma(logit_of(*model, {other}, ended)) < 0.05);
      // A text that is longer than it shall be is lost; a shorter one is still open.
      if (other < words) CHECK(sigma(logit_of(*model, {other}, text)) < 0.05);
      // One word is the beginning of texts of one and of two. Each control is that of a third of all texts.
      if (other > words && words > 0)
        CHECK(std::abs(sigma(logit_of(*model, {other}, text) + std::log(0.5)) - 0.5) < 0.08);
    }
  }
}

TEST_CASE("prefix_classifier: data that it cannot learn from give a sentence") {
  Settings settings(prefix_classifier_model().settings);
  DataFacts without = facts();
  without.max_source_length = 0;
  Generator generator(1);
  CHECK(error_of([&] { prefix_classifier_model().make(settings, without, {}, generator); }) ==
        "prefix_classifier: the texts have no sources, which are the controls");
  const auto model = tiny_classifier();
  Batch batch;
  batch.target = TextBatch::of(std::vector<Tokens>{{1, kEnd}});
  CHECK(error_of([&] { model->prepare(batch, 0, generator); }).find("prefix_classifier") !=
        std::string::npos);
  CHECK(error_of([&] { model->loss(batch, 0, {}); }) == "prefix_classifier: the batch has not been prepared");
  settings.override_with("transformer.time=added");
  CHECK(error_of([&] { prefix_classifier_model().resolve(settings); }) ==
        "prefix_classifier has no time t: transformer.time must be none, not added");
}

}  // namespace haze
