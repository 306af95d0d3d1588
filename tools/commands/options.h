#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/training_settings.h"

namespace haze {

/// Thrown where the command line, and not what it names, is wrong.
class WrongUsage : public Error {
 public:
  using Error::Error;
};

/// Takes over the assignments of `--set`. Throws WrongUsage where one is wrong.
void apply_assignments(const std::vector<std::string>& assignments, Settings& settings);

/// Whether the assignments of `--set` are all of these keys.
bool assigns_only(std::initializer_list<std::string_view> keys, const std::vector<std::string>& assignments);

/// Accepts the whole numbers in [minimum, maximum]; the sentence for any other text says so.
CLI::Validator whole_number(int64_t minimum, int64_t maximum = std::numeric_limits<int64_t>::max());

/// Accepts what the setting of this key accepts.
CLI::Validator as_setting(const std::string& key);

/// Adds an option that stands for a setting of the run: what it takes and its explanation are the setting's.
template <typename Value>
void add_setting_option(CLI::App& command, const std::string& name, const std::string& key,
                        std::optional<Value>& value) {
  const SettingsTable& table = training_settings();
  const auto row =
      std::find_if(table.begin(), table.end(), [&](const Setting& setting) { return setting.key == key; });
  std::string explanation = row->explanation;
  if (!row->choices.empty()) explanation += fmt::format(": {}", fmt::join(row->choices, " | "));
  command.add_option(name, value, explanation + " (default: the run's)")->check(as_setting(key));
}

/// What is wrong with a command line, in one sentence that begins with the command, with the nearest right
/// word for a wrong one.
std::string describe_parse_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace haze
