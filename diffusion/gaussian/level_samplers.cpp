#include "haze/diffusion/gaussian/level_samplers.h"

namespace haze {

SettingsTable level_sampler_settings() {
  return {
      choice_setting("sample.sampler", "ancestral", {"ancestral"},
                     "how the levels of noise are gone through"),
      boolean_setting("sample.clip", true, "images: what the network says of x_0 is kept in [-1, 1]"),
  };
}

Tensor sample_levels(const Settings& settings, const GaussianDenoiser& denoise,
                     std::span<const NoiseLevel> levels, ReverseVariance variance, Tensor x,
                     const NoiseSource& noise, const LevelObserver& observer) {
  const std::string& sampler = settings.text("sample.sampler");
  if (sampler == "ancestral")
    return ancestral_sample(denoise, levels, variance, std::move(x), noise, observer);
  fail("sample_levels: there is no sampler '{}'", sampler);
}

}  // namespace haze
