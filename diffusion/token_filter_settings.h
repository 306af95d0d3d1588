#pragma once

#include "haze/diffusion/token_filter.h"
#include "haze/nn/settings.h"

namespace haze {

/// sample.temperature, sample.top_p and sample.top_k, which change nothing by default.
SettingsTable token_filter_settings();

/// The filter that these rows and the forbidden tokens make.
TokenFilter token_filter(const Settings& settings, std::vector<int32_t> forbidden);

}  // namespace haze
