#pragma once

#include "haze/nn/settings.h"
#include "haze/nn/transformer.h"

namespace haze {

/// The rows of section [transformer], which every model with a transformer has. `defaults` replaces defaults
/// of some, by key.
SettingsTable transformer_settings(const NamedValues& defaults = {});

/// The same for small networks, such as classifiers: two layers, 128 wide, four heads.
SettingsTable small_transformer_settings(NamedValues defaults = {});

/// The configuration that the section says, for sequences of up to `max_length` rows.
TransformerConfig transformer_config(const Settings& settings, int64_t max_length);

/// Throws Error where settings of the section that are each right contradict one another.
void check_transformer_settings(const Settings& settings);

}  // namespace haze
