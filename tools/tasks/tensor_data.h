#pragma once

#include <memory>

#include "haze/tools/tasks/task.h"

namespace haze {

/// The section [data] of models that learn tensors.
SettingsTable tensor_settings();

/// Throws Error where settings of tensor_settings() contradict one another.
void check_tensor_data(const Settings& settings);

/// Shape, levels and classes of the set that the settings name. For a set in a folder, it reads the heads of
/// files or an image of each part. Throws Error where a part is missing, or its images are of another shape.
DataFacts tensor_facts(const Settings& settings);

/// Whether the set's files are in data.folder: then a checkpoint has to keep what tensor_facts() said.
bool is_from_folder(const Settings& settings);

/// The examples of a part: float32 [batch, 2] points, or [batch, channels, height, width] images in [-1, 1],
/// with labels where the set has them. Drawn sets come from three streams of the run's seed. Throws Error
/// where a file is missing or wrong.
std::unique_ptr<Examples> tensor_examples(const Settings& settings, Part part);

/// The set and its number of examples, as messages name a part, and what tells it from a changed one.
std::string tensor_origin(const Settings& settings, Part part);
std::string tensor_fingerprint(const Settings& settings, Part part);

}  // namespace haze
