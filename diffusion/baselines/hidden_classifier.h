#pragma once

#include <memory>

#include "haze/diffusion/baselines/autoregressive.h"
#include "haze/diffusion/baselines/control_pairs.h"
#include "haze/diffusion/baselines/pplm.h"

namespace haze {

/// The model "hidden_classifier": p(control | mean hidden state) of a frozen language model that reads no
/// source (Dathathri et al. 2020, section 3.1: a single layer on the mean). Its weights depend on the
/// control:
///   c = w . mean + b,     (w, b) = MLP(mean over the control's tokens of EMB(token) + EMB(position))
class HiddenClassifier : public Model, public HiddenAttribute {
 public:
  /// Throws Error where the data have no sources, and where the frozen run is no such language model, or of
  /// other texts.
  HiddenClassifier(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
                   Generator& generator);

  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  int64_t units(const Batch& batch) const override { return batch.size(); }
  /// Mean binary cross-entropy of texts, in nats; half of it is of other texts' controls.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  Tensor read_controls(const TextBatch& controls) const override;
  Variable logits(const Variable& mean, const Variable& controls) const override;

  const Autoregressive& language_model() const { return *language_model_; }

 private:
  // (w, b) of each control, [controls, hidden + 1].
  Variable weights_of(const TextBatch& controls) const;

  DataFacts facts_;
  std::shared_ptr<const Autoregressive> language_model_;
  Embedding token_embedding_, position_embedding_;
  Linear first_, second_;
};

ModelInfo hidden_classifier_model();

}  // namespace haze
