#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "haze/nn/settings.h"

namespace haze {

/// One line of a configuration, or the head of a section.
struct ConfigurationEntry {
  std::string key;                    // "transformer.layers"; of a section its name
  std::optional<SettingValue> value;  // none: a section, or what no setting can be, such as a list
  std::string shown;                  // the value as an error shows it
  std::string where;                  // "run.toml:3"
  bool is_section = false;
};

/// The entries of a TOML text in their order; `source` stands for the file's name in errors. Throws Error on
/// a text that is not TOML.
std::vector<ConfigurationEntry> parse_configuration(std::string_view toml, const std::string& source);
/// Those of a file. Throws Error where it cannot be read.
std::vector<ConfigurationEntry> parse_configuration_file(const std::filesystem::path& path);

/// Takes over the values of entries. Throws Error on a key that is not in the table, or a value that its
/// setting does not accept, with file and line, and has then changed nothing.
void apply_configuration(const std::vector<ConfigurationEntry>& entries, Settings& settings);

/// A TOML document of every setting, its value and, as a comment, its explanation; reading it gives the same
/// settings.
std::string print_configuration(const Settings& settings);

}  // namespace haze
