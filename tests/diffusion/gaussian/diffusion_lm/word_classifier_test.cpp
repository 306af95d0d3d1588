#include "haze/diffusion/gaussian/diffusion_lm/word_classifier.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm_model.h"
#include "haze/nn/optimizer.h"

#include "diffusion/gaussian/diffusion_lm/toy_training.h"
#include "diffusion/toy_language.h"
#include "nn/networks.h"

namespace haze {
namespace {

using diffusion_test::settings_of;

using Texts = std::vector<std::vector<int32_t>>;

// Of words 0 to 4 and the end, 5; the label is whether the text holds the word 2.
const Texts kTexts = {{0, 1, 5}, {1, 2, 3, 5}, {2, 0, 1, 5}, {4, 5}};
const std::vector<int32_t> kLabels = {0, 1, 1, 0};
const DataFacts kFacts{
    .vocabulary = 6, .mask_id = 6, .end_id = 5, .max_length = 4, .labels = 2, .value_shape = {}};

Settings model_settings(const std::vector<std::string>& changes = {}) {
  std::vector<std::string> all = {"diffusion_lm.dimension=4", "diffusion_lm.steps=200", "sample.steps=50"};
  all.insert(all.end(), changes.begin(), changes.end());
  return settings_of(diffusion_lm_model(), all);
}

std::shared_ptr<Model> diffusion_model(const Settings& settings, const FrozenModels& frozen = {}) {
  Generator generator(1);
  return diffusion_lm_model().make(settings, kFacts, frozen, generator);
}

std::shared_ptr<Model> classifier_of(const FrozenModel& run, DataFacts facts = kFacts) {
  Generator generator(2);
  return word_classifier_model().make(settings_of(word_classifier_model(), {}), facts, {run}, generator);
}

Batch all_texts(int copies) {
  Texts texts;
  std::vector<int32_t> labels;
  for (int i = 0; i < copies; ++i) {
    texts.insert(texts.end(), kTexts.begin(), kTexts.end());
    labels.insert(labels.end(), kLabels.begin(), kLabels.end());
  }
  Batch batch = diffusion_test::batch_of(texts);
  batch.labels = Tensor::from(labels, {std::ssize(labels)});
  return batch;
}

void train(Model& model, int steps) {
  diffusion_test::train_on(model, all_texts(8), steps, 3);
}

double share_with_two(const Model& model, const Settings& settings, std::optional<int32_t> label) {
  constexpr int kCount = 60;
  std::vector<Request> requests(kCount);
  for (Request& request : requests) request.label = label;
  Generator generator(4);
  const Samples samples = model.sampler()->sample(requests, {settings, {}, {}}, generator);
  double found = 0;
  for (const auto& text : samples.texts) found += std::find(text.begin(), text.end(), 2) != text.end();
  return found / kCount;
}

}  // namespace

TEST_CASE("a classifier of noisy texts leads samples to texts of its label, for either Adagrad") {
  const nn_test::ThreadScope one(1);
  const Settings settings = model_settings();
  const std::shared_ptr<Model> model = diffusion_model(settings);
  train(*model, 400);
  const FrozenModel run{model, kFacts, settings};
  const std::shared_ptr<Model> classifier = classifier_of(run);
  train(*classifier, 150);
  // Parameters are the classifier's own; those of the frozen run have no gradient to step by.
  for (const NamedParameter& parameter : classifier->parameters())
    CHECK_FALSE(parameter.name.starts_with("embedding"));
  const FrozenModel none{nullptr, kFacts, settings};
  const FrozenModels guides = {{classifier, kFacts, settings_of(word_classifier_model(), {})}, none, none};
  const std::shared_ptr<Model> guided = diffusion_model(settings, guides);
  copy_by_name(parameter_tensors(*guided), parameter_tensors(*model), true, "model");
  const double free = share_with_two(*guided, settings, {});
  CHECK(free == share_with_two(*model, settings, {}));
  for (const std::string adagrad : {"each-update", "all-updates"}) {
    const Settings own = model_settings({"sample.control_adagrad=" + adagrad});
    const double wanted = share_with_two(*guided, own, 1), unwanted = share_with_two(*guided, own, 0);
    MESSAGE(adagrad, ": ", free, " of free samples hold the word, ", wanted, " where it is wanted, ",
            unwanted, " where it is not");
    CHECK(wanted > 0.8);
    CHECK(unwanted < 0.2);
  }
}

TEST_CASE("the classifier's gradients by x_t and by its parameters agree with differences") {
  const Settings settings = model_settings();
  Generator generator(5);
  Settings small(word_classifier_model().settings);
  for (const char* change :
       {"transformer.layers=1", "transformer.hidden=4", "transformer.heads=2", "transformer.mlp_ratio=1"})
    small.override_with(change);
  const FrozenModel run{diffusion_model(settings), kFacts, settings};
  WordClassifier classifier(small, kFacts, run, generator);
  classifier.to(Dtype::float64);
  const Sequences sequences = nn_test::sequences_of({3, 1});
  const Tensor time = Tensor::from(std::vector<float>{0.2F, 0.7F}, {2});
  nn_test::check_gradients("word_classifier", classifier, {normal({4, 4}, generator, 0, 1, Dtype::float64)},
                           [&](const auto& inputs) { return classifier.logits(inputs[0], sequences, time); });
}

TEST_CASE("a classifier that fits no run, and a label without one, are refused in a sentence") {
  const Settings settings = model_settings();
  const FrozenModel run{diffusion_model(settings), kFacts, settings};
  CHECK_THROWS_WITH(classifier_of(FrozenModel{nullptr, kFacts, settings}),
                    "word_classifier: word_classifier.run must name the run whose noisy vectors it reads");
  DataFacts other = kFacts;
  other.vocabulary = 7;
  CHECK_THROWS_WITH(classifier_of(run, other),
                    "word_classifier: the run has 6 words and texts of up to 4, these data 7 and 4");
  DataFacts unlabelled = kFacts;
  unlabelled.labels = 0;
  CHECK_THROWS_WITH(classifier_of(run, unlabelled),
                    "word_classifier: the data have no labels, of which it could learn");
  CHECK_THROWS_WITH(share_with_two(*run.model, settings, 1),
                    "diffusion_lm: only a classifier leads texts to a label: see sample.classifier");
}

}  // namespace haze
