#pragma once

#include <filesystem>

#include "haze/tools/tasks/image_set.h"
#include "haze/tools/tasks/task.h"

namespace haze {

/// The PNG files of a part, sorted by name. They are those of its subfolder train, valid or test where the
/// folder has one of the three. Otherwise every tenth file of the folder itself is of the part valid, the one
/// after it of test, and the other eight of train. Throws Error where the part has none.
std::vector<std::filesystem::path> png_files(const std::filesystem::path& folder, Part part);

/// The images of PNG files, all as large as the first and, like it, gray or in colour. Throws Error where one
/// differs, naming both.
ImageSet read_png_files(const std::vector<std::filesystem::path>& files);

}  // namespace haze
