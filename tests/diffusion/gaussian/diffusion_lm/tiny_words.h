#pragma once

#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm.h"

/// A network of Diffusion-LM small enough to differentiate by differences.
namespace haze::diffusion_test {

constexpr int64_t kWords = 5, kDimension = 2;

inline DiffusionLm tiny_model(Parameterisation prediction = Parameterisation::x_0) {
  return {word_process(sqrt_noise_schedule(20)), prediction, ReverseVariance::small};
}

inline TransformerConfig tiny_config(int64_t max_length = 6) {
  TransformerConfig config;
  config.hidden = 4;
  config.layers = 1;
  config.heads = 2;
  config.mlp_ratio = 1;
  config.max_length = max_length;
  config.norm = NormPlacement::post;
  config.time = TimeConditioning::added;
  return config;
}

inline WordNetworkOptions tiny_options(WordOutput output) {
  const bool vector = output == WordOutput::vector;
  return {.words = kWords,
          .dimension = kDimension,
          .output = output,
          .rounding = vector ? RoundingKind::linear : RoundingKind::likelihood,
          .unit_variance = !vector,
          .sigma_0 = tiny_model().process.sigma_0};
}

/// Two texts at t = 1 and t = 9.
inline NoisyTexts tiny_texts() {
  Generator generator(5);
  NoisyTexts noisy;
  const std::vector<int32_t> texts[] = {{3, 0, 1}, {4, 2}};
  noisy.texts = TextBatch::of(texts);
  noisy.t = {1, 9};
  noisy.x_0_noise = normal({5, kDimension}, generator);
  noisy.x_t_noise = normal({5, kDimension}, generator);
  return noisy;
}

}  // namespace haze::diffusion_test
