#pragma once

#include "haze/diffusion/discrete/canvas.h"
#include "haze/nn/settings.h"

namespace haze {

/// The rows of section [sample] of a masked diffusion model with these samplers, the first by default.
SettingsTable sample_settings(std::vector<std::string> samplers, std::string steps_explanation);

/// What the section and the caller say.
SamplerOptions sampler_options(const SampleOptions& options);

}  // namespace haze
