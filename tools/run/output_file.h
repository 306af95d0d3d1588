#pragma once

#include <filesystem>
#include <string_view>

namespace haze {

/// Writes a file that a user has named, such as a picture. A regular file holds either what it held before or
/// all of `contents`, and keeps its mode and, where the system allows it, its owner. Through a symbolic link
/// its target is written. A device, a FIFO, and a file that is this process's standard output or error are
/// written into, and stay what they are. Throws Error where the system refuses.
void write_output_file(const std::filesystem::path& path, std::string_view contents);

}  // namespace haze
