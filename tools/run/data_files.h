#pragma once

#include <filesystem>
#include <string>

#include "haze/nn/settings.h"
#include "haze/tools/tasks/task.h"
#include "haze/tools/text/text_file.h"

namespace haze {

/// Where a run's texts are.
struct DataFiles {
  std::filesystem::path train, valid;
};

/// The files that the settings name, or, where they name none, the built-in corpus, written to `folder` where
/// it is not there.
DataFiles data_files(const Settings& settings, const std::filesystem::path& folder);

/// The file of one part: of the built-in corpus one in `folder`, of which nothing is written; of files,
/// data.test where it is given, otherwise data.valid, is the test part.
std::filesystem::path data_file(const Settings& settings, const std::filesystem::path& folder, Part part);

/// How the settings want text files to be read.
TextFileOptions text_file_options(const Settings& settings);
/// How they want the file of one part to be read: without data.valid, data.train serves for all parts.
TextFileOptions text_file_options(const Settings& settings, Part part);

/// What tells a file from a changed one: "1234 bytes, CRC-32 89abcdef". Throws Error where it cannot be read.
std::string fingerprint_of(const std::filesystem::path& path);

}  // namespace haze
