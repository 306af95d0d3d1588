#pragma once

#include <cmath>

#include "haze/diffusion/model.h"
#include "haze/nn/optimizer.h"

namespace haze::diffusion_test {

/// A model's settings for a small transformer, with `changes`, resolved.
inline Settings settings_of(const ModelInfo& info, const std::vector<std::string>& changes) {
  Settings settings(info.settings);
  for (const char* small : {"transformer.layers=1", "transformer.hidden=32", "transformer.heads=2"})
    settings.override_with(small);
  for (const std::string& change : changes) settings.override_with(change);
  info.resolve(settings);
  return settings;
}

/// So many steps of AdamW on the same texts. The learning rate falls from 1e-2 to 0 along a cosine.
inline void train_on(Model& model, const Batch& texts, int steps, uint64_t seed) {
  Generator generator(seed);
  AdamW optimizer(model.parameters());
  for (int step = 0; step < steps; ++step) {
    const Batch batch = model.prepare(texts, 0, generator);
    model.clear_gradients();
    backward(model.loss(batch, 0, {.training = true, .generator = &generator}).total);
    optimizer.step(1e-2 * 0.5 * (1 + std::cos(M_PI * step / steps)), clip_scale(model.parameters(), 1.0));
  }
}

}  // namespace haze::diffusion_test
