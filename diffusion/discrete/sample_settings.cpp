#include "haze/diffusion/discrete/sample_settings.h"

#include "haze/diffusion/token_filter_settings.h"

namespace haze {

SettingsTable sample_settings(std::vector<std::string> samplers, std::string steps_explanation) {
  constexpr double kMostSteps = 1 << 20;
  const std::string first = samplers.front();
  SettingsTable table = {
      choice_setting("sample.sampler", first, std::move(samplers), "how a text is drawn, or searched for"),
      only_with(integer_setting("sample.steps", 64, between(1, kMostSteps), std::move(steps_explanation)),
                "sample.sampler", {"ancestral"}),
      since(5, only_with(
                   real_setting("sample.threshold", 0.9, between(0, 1),
                                "the confidence sampler fills in every position whose likeliest token has a "
                                "probability above it, and one a step at least"),
                   "sample.sampler", {"confidence"})),
  };
  for (Setting& row : token_filter_settings()) table.push_back(std::move(row));
  return table;
}

SamplerOptions sampler_options(const SampleOptions& options) {
  return {.filter = token_filter(options.settings, options.forbidden_tokens), .observer = options.observer};
}

}  // namespace haze
