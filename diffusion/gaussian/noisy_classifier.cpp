#include "haze/diffusion/gaussian/noisy_classifier.h"

#include <cmath>
#include <numbers>

#include "haze/diffusion/classifier_measures.h"
#include "haze/diffusion/gaussian/per_example.h"
#include "haze/diffusion/gaussian/score_sde.h"
#include "haze/diffusion/gaussian/sde_settings.h"
#include "haze/diffusion/gaussian/value_examples.h"

namespace haze {
namespace {

constexpr const char* kName = "noisy_classifier";

ClassifierConfig network_config(const Settings& settings, const DataFacts& facts) {
  if (facts.labels < 2) fail("{}: the data have no labels, of which it could learn", kName);
  return {.example = example_shape(facts, kName),
          .classes = facts.labels,
          .width = settings.integer("noisy_classifier.width"),
          .time = true};
}

}  // namespace

NoisyClassifier::NoisyClassifier(const Settings& settings, const DataFacts& facts, Generator& generator)
    : example_(example_shape(facts, kName)),
      classes_(facts.labels),
      sde_(sde_from(settings, kName)),
      network_(network_config(settings, facts), generator) {
  add_module("", network_);
}

Batch NoisyClassifier::prepare(Batch batch, size_t, Generator& generator) const {
  const Tensor& x_0 = values_of(batch, example_, kName);
  batch.labels_for(kName);
  std::vector<double> times = draw_times(sde_, TimeWeighting::noise, x_0.size(0), generator);
  batch.prepared = std::make_shared<NoisyAtTimes>(add_sde_noise(sde_, x_0, std::move(times), generator));
  return batch;
}

Loss NoisyClassifier::loss(const Batch& batch, size_t, const ForwardContext&) const {
  const auto* noisy = dynamic_cast<const NoisyAtTimes*>(batch.prepared.get());
  if (!noisy) fail("{}: the batch has not been prepared", kName);
  const Tensor& labels = batch.labels_for(kName);
  std::vector<NoiseLevel> levels;
  for (double t : noisy->times) levels.push_back(sde_level(sde_, t));
  const Variable logits = this->logits(noisy->x_t, levels);
  const Variable log_probabilities = gather(log_softmax(logits), 1, unsqueeze(labels, 1));
  return {.total = mean(log_probabilities) * -1,
          .log = {{"accuracy", accuracy(logits.value(), labels)}},
          .inputs = {{"x_t", noisy->x_t}, {"labels", labels}}};
}

Variable NoisyClassifier::logits(const Variable& x, std::span<const NoiseLevel> levels) const {
  std::vector<float> angles;
  std::vector<double> scales;
  for (const NoiseLevel& level : levels) {
    angles.push_back(static_cast<float>(2 / std::numbers::pi * std::atan2(level.sigma, level.alpha)));
    scales.push_back(1 / std::hypot(level.alpha, level.sigma));
  }
  const Variable scaled = x * Variable(per_example(scales, x.value()));
  return network_.forward(scaled, Tensor::from(angles, {std::ssize(levels)}, x.device()));
}

Tensor NoisyClassifier::features(const Tensor& values) const {
  return network_.features(Variable(values), full({values.size(0)}, 0, Dtype::float32, values.device()))
      .value();
}

Tensor NoisyClassifier::classes(const Tensor& values) const {
  const std::vector<NoiseLevel> levels(static_cast<size_t>(values.size(0)), NoiseLevel{1, 0});
  return argmax(logits(Variable(values), levels).value(), 1);
}

LogProbability log_probability_of(std::shared_ptr<const NoisyClassifier> classifier,
                                  std::vector<int32_t> labels) {
  for (int32_t label : labels) {
    if (label < 0 || label >= classifier->classes())
      fail("the label {} is not one of the classifier's {} classes, from 0", label, classifier->classes());
  }
  const Tensor wanted = Tensor::from(labels, {std::ssize(labels), 1}, classifier->device());
  return [classifier = std::move(classifier), wanted](const Variable& x, const NoiseLevel& level) {
    const std::vector<NoiseLevel> levels(static_cast<size_t>(x.size(0)), level);
    return reshape(gather(log_softmax(classifier->logits(x, levels)), 1, wanted), {x.size(0)});
  };
}

LogProbabilityGradient log_probability_gradient(std::shared_ptr<const NoisyClassifier> classifier,
                                                std::vector<int32_t> labels) {
  return gradient_of(log_probability_of(std::move(classifier), std::move(labels)));
}

std::shared_ptr<const NoisyClassifier> classifier_of(const FrozenModel& frozen, const std::string& key,
                                                     const Shape& example) {
  if (!frozen.model) return nullptr;
  auto classifier = std::dynamic_pointer_cast<const NoisyClassifier>(frozen.model);
  if (!classifier) {
    fail("{} names a run of the model {}; samples are guided by a {}", key, frozen.settings.text("model"),
         kName);
  }
  if (!(classifier->example() == example)) {
    fail("{} names a classifier of examples of shape {}, not {}", key, classifier->example().to_string(),
         example.to_string());
  }
  return classifier;
}

namespace {

// Empty where no request has a label.
std::vector<int32_t> labels_of(std::span<const Request> requests, std::string_view model) {
  std::vector<int32_t> labels;
  for (const Request& request : requests) {
    if (request.label) labels.push_back(*request.label);
  }
  if (!labels.empty() && labels.size() != requests.size())
    fail("{}: {} of {} requests have a label; either all have one or none", model, labels.size(),
         requests.size());
  return labels;
}

}  // namespace

LogProbabilityGradient gradient_for(std::span<const Request> requests,
                                    std::shared_ptr<const NoisyClassifier> classifier,
                                    std::string_view model) {
  std::vector<int32_t> labels = labels_of(requests, model);
  if (labels.empty()) return {};
  if (!classifier) fail("{}: only a classifier leads samples to a label: see sample.classifier", model);
  return log_probability_gradient(std::move(classifier), std::move(labels));
}

SettingsTable guidance_settings() {
  return {
      text_setting("sample.classifier", "",
                   "run of a noisy_classifier that leads samples to a label; empty: none"),
      real_setting("sample.guidance", 1, at_least(0), "times the classifier's gradient; 1: Bayes' rule"),
  };
}

ModelInfo noisy_classifier_model() {
  ModelInfo info;
  info.name = kName;
  info.paper = "Dhariwal and Nichol 2021, Diffusion models beat GANs on image synthesis";
  info.tasks = {"tensors"};
  info.settings = sde_settings(kName);
  info.settings.push_back(integer_setting("noisy_classifier.width", 64, between(8, 4096),
                                          "of the hidden layers; of images, channels of the first block"));
  info.resolve = [](Settings& settings) { sde_from(settings, kName); };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<NoisyClassifier>(settings, facts, generator);
  };
  return info;
}

}  // namespace haze
