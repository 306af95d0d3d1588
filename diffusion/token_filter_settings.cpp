#include "haze/diffusion/token_filter_settings.h"

namespace haze {

SettingsTable token_filter_settings() {
  return {
      real_setting("sample.temperature", 1.0, at_least(0),
                   "the logits are divided by it; 0: the most probable token"),
      real_setting("sample.top_p", 1.0, above_to(0, 1),
                   "the fewest most probable tokens that reach this probability; 1: all"),
      integer_setting("sample.top_k", 0, at_least(0), "the most probable tokens only; 0: all"),
  };
}

TokenFilter token_filter(const Settings& settings, std::vector<int32_t> forbidden) {
  return {.temperature = settings.real("sample.temperature"),
          .top_k = settings.integer("sample.top_k"),
          .top_p = settings.real("sample.top_p"),
          .forbidden = std::move(forbidden)};
}

}  // namespace haze
