#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "haze/nn/checkpoint.h"
#include "haze/nn/settings.h"

namespace haze {

/// Settings that name a file, a folder or another run (path_keys), and where that is now.
using MovedPaths = std::vector<std::pair<std::string, std::string>>;

/// The settings of a run that goes on from a checkpoint, which was begun in `working_folder` (empty: not
/// known). `moved` is what is no longer where it was, and `steps` a new train.steps. Throws RefusedSettings
/// where the run names no such path, or one that is moved does not exist, and Error where the run has done
/// more steps than `steps`.
Settings resumed_settings(const Checkpoint& checkpoint, const std::filesystem::path& working_folder,
                          const MovedPaths& moved, const std::optional<int64_t>& steps);

/// Throws Error, which says how to name its place, where texts or another run that a run goes on with are not
/// where its settings say.
void require_paths(const Settings& settings, const std::filesystem::path& run_folder);

}  // namespace haze
