#pragma once

#include "haze/diffusion/discrete/masked_loss.h"

namespace haze {

/// A model of masked diffusion with a transformer: what MDLM and D3PM have in common. Its parameters are
/// "transformer..." and "head...".
class MaskedModel : public Model {
 public:
  /// `name` is the model's, for error messages. Settings have the section [transformer].
  MaskedModel(std::string name, const Settings& settings, const DataFacts& facts, Generator& generator);

  /// Draws x_t. Throws Error where a text holds the mask or an id outside the vocabulary.
  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  Batch padded(Batch prepared, int64_t multiple) const override;
  /// masked_loss() of what prepare() has drawn. Throws Error where it has not.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  const Denoiser& denoiser() const { return denoiser_; }

 protected:
  virtual Corruption corrupt(const TextBatch& x_0, Generator& generator) const = 0;

 private:
  const Corruption& corruption_of(const Batch& batch) const;

  std::string name_;
  int64_t max_length_;
  TransformerDenoiser denoiser_;
};

}  // namespace haze
