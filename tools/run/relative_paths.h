#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "haze/diffusion/model.h"
#include "haze/nn/settings.h"

namespace haze {

/// The working folder; empty where it has been removed.
std::filesystem::path current_folder();

/// The settings of a model's runs that may name files, folders or other runs, such as data.train.
std::vector<std::string> path_keys(const ModelInfo& model);

/// Those that the settings of a run have.
std::vector<std::string> path_keys(const Settings& settings);

/// Makes paths of a run's settings absolute where they are relative, and `folder`, in which the run was
/// begun, has what they name: a run goes on, and is measured, from any working folder. An empty folder
/// changes nothing, and neither does the working folder.
void find_relative_paths(const std::filesystem::path& folder, Settings& settings);

}  // namespace haze
