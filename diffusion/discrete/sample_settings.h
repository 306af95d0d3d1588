#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/nn/settings.h"

namespace haze {

/// The rows of section [sample] of a masked diffusion model with these samplers, the first by default;
/// ancestral and confidence are among them.
SettingsTable sample_settings(std::vector<std::string> samplers, std::string steps_explanation);

/// The options that the section and the caller give.
SamplerOptions sampler_options(const SampleOptions& options);

}  // namespace haze
