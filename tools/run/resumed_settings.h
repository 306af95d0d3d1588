#pragma once

#include <filesystem>
#include <optional>

#include "haze/nn/checkpoint.h"
#include "haze/nn/settings.h"
#include "haze/tools/run/data_files.h"

namespace haze {

/// The settings of a run that goes on from a checkpoint, which was begun in `working_folder` (empty: not
/// known). `moved_files` are its texts, where they are not where they were, and `steps` a new train.steps.
/// Throws Error where the run has done more steps than that.
Settings resumed_settings(const Checkpoint& checkpoint, const std::filesystem::path& working_folder,
                          const std::optional<DataFiles>& moved_files, const std::optional<int64_t>& steps);

/// Throws Error, which says how to name their place, where the texts of a run that goes on are not where its
/// settings say.
void require_texts(const Settings& settings, const std::filesystem::path& run_folder);

}  // namespace haze
