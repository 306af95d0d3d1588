#include "haze/diffusion/discrete/sample_settings.h"

namespace haze {

SettingsTable sample_settings(std::vector<std::string> samplers, std::string steps_explanation) {
  constexpr double kMostSteps = 1 << 20;
  const std::string first = samplers.front();
  return {
      choice_setting("sample.sampler", first, std::move(samplers), "how a text is drawn, or searched for"),
      only_with(integer_setting("sample.steps", 64, between(1, kMostSteps), std::move(steps_explanation)),
                "sample.sampler", "ancestral"),
      real_setting("sample.temperature", 1.0, at_least(0),
                   "the logits are divided by it; 0: the most probable token"),
      real_setting("sample.top_p", 1.0, above_to(0, 1),
                   "the fewest most probable tokens that reach this probability; 1: all"),
      integer_setting("sample.top_k", 0, at_least(0), "the most probable tokens only; 0: all"),
  };
}

SamplerOptions sampler_options(const SampleOptions& options) {
  return {.filter = {.temperature = options.settings.real("sample.temperature"),
                     .top_k = options.settings.integer("sample.top_k"),
                     .top_p = options.settings.real("sample.top_p"),
                     .forbidden = options.forbidden_tokens},
          .observer = options.observer};
}

}  // namespace haze
