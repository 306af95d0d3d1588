#pragma once

#include <memory>
#include <vector>

#include "haze/diffusion/gaussian/classifier_guidance.h"
#include "haze/diffusion/gaussian/sde.h"
#include "haze/diffusion/model.h"
#include "haze/nn/classifier.h"

namespace haze {

/// The model "noisy_classifier": p(y | x(t)), trained by cross-entropy at uniform t (Song et al. 2021,
/// section 5; Dhariwal and Nichol 2021, section 4). It reads x / s with s^2 = alpha^2 + sigma^2, and the
/// angle of the noise, 2 / pi atan(sigma / alpha), in [0, 1]. p(y | x) depends on nothing else. So one
/// classifier guides models of any process, DDPM's steps among them.
class NoisyClassifier : public Model, public FeatureExtractor {
 public:
  /// Throws Error where the data have no labels or are no tensors.
  NoisyClassifier(const Settings& settings, const DataFacts& facts, Generator& generator);

  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  int64_t units(const Batch& batch) const override { return batch.size(); }
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  /// log p(y | x) up to a constant an example, [n, classes], of x [n, ...], each at a level of its own.
  Variable logits(const Variable& x, std::span<const NoiseLevel> levels) const;
  const FeatureExtractor* feature_extractor() const override { return this; }
  /// Of examples without noise.
  Tensor features(const Tensor& values) const override;
  Tensor classes(const Tensor& values) const override;

  int64_t classes() const { return classes_; }
  const Shape& example() const { return example_; }

 private:
  Shape example_;
  int64_t classes_;
  Sde sde_;
  Classifier network_;
};

/// log p(y_i | x_i) of labels y, one for each example. Throws Error where a label is none of the classes.
LogProbability log_probability_of(std::shared_ptr<const NoisyClassifier> classifier,
                                  std::vector<int32_t> labels);

/// Its gradient in x, by the tape: what guides samplers.
LogProbabilityGradient log_probability_gradient(std::shared_ptr<const NoisyClassifier> classifier,
                                                std::vector<int32_t> labels);

/// The classifier of the run that the setting `key` names; null where it names none. Throws Error where it is
/// not a classifier of examples of this shape.
std::shared_ptr<const NoisyClassifier> classifier_of(const FrozenModel& frozen, const std::string& key,
                                                     const Shape& example);

/// The gradient that leads samples to the labels that requests ask for; empty where none asks. Throws Error,
/// naming the model, where some do and others do not, and where there is no classifier.
LogProbabilityGradient gradient_for(std::span<const Request> requests,
                                    std::shared_ptr<const NoisyClassifier> classifier,
                                    std::string_view model);

/// sample.classifier and sample.guidance, the rows of models that a classifier can guide.
SettingsTable guidance_settings();

ModelInfo noisy_classifier_model();

}  // namespace haze
