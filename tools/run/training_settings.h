#pragma once

#include "haze/engine/ops.h"
#include "haze/nn/settings.h"

namespace haze {

/// Every setting of `haze train` and of what samples from or evaluates its checkpoints.
const SettingsTable& training_settings();

/// Replaces 'auto', and the 0 of data.min_count, by what they stand for, on this processor. Throws where
/// settings that are each right contradict one another.
void resolve_training_settings(Settings& settings);

/// That of matrix products by its name: float32 or bfloat16. Throws Error on any other.
Precision precision_called(const std::string& name);

}  // namespace haze
