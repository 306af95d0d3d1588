#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "haze/nn/settings.h"
#include "haze/tools/text/data_set.h"

namespace haze {

/// Where a run's texts are.
struct DataFiles {
  std::filesystem::path train, valid;
};

/// The files that the settings name, or, where they name none, the built-in corpus, written to `folder` where
/// it is not there.
DataFiles data_files(const Settings& settings, const std::filesystem::path& folder);

/// How the settings want text files to be read.
TextFileOptions text_file_options(const Settings& settings);

/// The sequences of a file as the settings want them.
DataSet load_data_set(const std::filesystem::path& path, const Settings& settings,
                      const Tokenizer& tokenizer);

/// What tells a file from a changed one: "1234 bytes, CRC-32 89abcdef". Throws Error where it cannot be read.
std::string fingerprint_of(const std::filesystem::path& path);

/// At most `count` sequences of a data set, evenly spread over it.
std::vector<std::span<const int32_t>> some_sequences(const DataSet& data, int64_t count);

}  // namespace haze
