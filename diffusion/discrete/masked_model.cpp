#include "haze/diffusion/discrete/masked_model.h"

#include "haze/nn/transformer_settings.h"

namespace haze {
MaskedModel::MaskedModel(std::string name, const Settings& settings, const DataFacts& facts,
                         Generator& generator)
    : name_(std::move(name)),
      max_length_(facts.max_length),
      denoiser_(facts.vocabulary, transformer_config(settings, facts.max_length), facts.mask_id, generator) {
  add_module("", denoiser_);
}

Batch MaskedModel::prepare(Batch batch, size_t, Generator& generator) const {
  const TextBatch& x_0 = batch.target_for(name_);
  check_texts(x_0, denoiser_, name_);
  batch.prepared = std::make_shared<const Corruption>(corrupt(x_0, generator));
  return batch;
}

const Corruption& MaskedModel::corruption_of(const Batch& batch) const {
  const auto* corruption = dynamic_cast<const Corruption*>(batch.prepared.get());
  if (corruption == nullptr) fail("{}: the batch was not prepared for this model", name_);
  return *corruption;
}

Batch MaskedModel::padded(Batch prepared, int64_t multiple) const {
  prepared.prepared = std::make_shared<const Corruption>(
      corruption_of(prepared).padded(multiple, max_length_, denoiser_.mask_id()));
  return prepared;
}

Loss MaskedModel::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  return masked_loss(denoiser_, corruption_of(batch), context);
}

}  // namespace haze
