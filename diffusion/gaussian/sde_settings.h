#pragma once

#include "haze/diffusion/gaussian/sde.h"
#include "haze/nn/settings.h"

namespace haze {

/// The rows that choose an SDE: sde, beta_min, beta_max, sigma_min and sigma_max of a section.
SettingsTable sde_settings(const std::string& section);

/// The SDE that those rows describe. Throws Error, naming the settings, where it cannot be, and where one is
/// not its default and belongs to another SDE.
Sde sde_from(const Settings& settings, const std::string& section);

}  // namespace haze
