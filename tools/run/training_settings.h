#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "haze/diffusion/model.h"
#include "haze/engine/ops.h"

namespace haze {

/// Version of the settings' names and meanings, which a checkpoint's config.toml holds. It rises whenever a
/// setting is renamed, removed, added (see since() in nn/settings.h) or changes what it means.
inline constexpr int64_t kSettingsVersion = 5;

/// Every setting of `haze train` for one model, and of what samples from or evaluates its checkpoints: the
/// model's own and those that all models share.
SettingsTable settings_table(const ModelInfo& model);

/// The defaults, the values of a configuration file, then "key=value" assignments; the key `model`, in
/// either, says whose settings these are. Throws Error on whatever is wrong with them.
Settings settings_from(const std::optional<std::filesystem::path>& configuration,
                       const std::vector<std::string>& assignments);

/// Replaces 'auto', and the 0 of data.min_count, by what they stand for, on this processor and with these
/// data (it counts the tokens of data.train), and data.layout by packed for raw files. Throws Error where
/// settings that are each right contradict one another.
void resolve_training_settings(Settings& settings);

/// config.toml of a run: every setting, and the program that wrote it.
std::string print_run_configuration(const Settings& settings);

/// The settings of a run from its config.toml. Those of an earlier version are brought up to this one. Throws
/// Error where the version is not known, and where a setting is missing: today's default may not be what the
/// run had.
Settings read_run_configuration(const std::string& toml, const std::string& source);

/// That of matrix products by its name: float32 or bfloat16. Throws Error on any other.
Precision precision_called(const std::string& name);

}  // namespace haze
