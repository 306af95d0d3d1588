#include "haze/tools/run/configuration.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "haze/engine/error.h"
#include "haze/nn/nesting.h"

namespace haze {
namespace {

std::optional<SettingValue> value_of_node(const toml::node& node) {
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  if (const auto* text = node.as_string()) return text->get();
  return std::nullopt;
}

std::string show_node(const toml::node& node) {
  if (node.is_table()) return "a section";
  if (node.is_array()) return "a list";
  std::ostringstream shown;
  shown << toml::node_view<const toml::node>(node);
  return shown.str();
}

[[noreturn]] void fail_unknown_section(const SettingsTable& table, std::string_view section,
                                       const std::string& where) {
  const std::vector<std::string> sections = sections_of(table);
  const std::string nearest = nearest_name(sections, section);
  if (!nearest.empty()) fail("{}: there is no section [{}]; did you mean [{}]?", where, section, nearest);
  fail("{}: there is no section [{}]; the sections are {}", where, section, fmt::join(sections, ", "));
}

void check_section(const ConfigurationEntry& entry, const SettingsTable& table) {
  for (const Setting& setting : table) {
    if (setting.key == entry.key)
      fail("{}: '{}' takes {}, not a section", entry.where, entry.key, setting.accepts());
  }
  const std::vector<std::string> sections = sections_of(table);
  if (std::find(sections.begin(), sections.end(), entry.key) == sections.end())
    fail_unknown_section(table, entry.key, entry.where);
}

/// The value as the setting holds it: a whole number where a real is expected is taken as a real.
SettingValue accepted_value(const ConfigurationEntry& entry, const Setting& setting) {
  std::optional<SettingValue> value = entry.value;
  if (value && setting.type == SettingType::real) {
    if (const auto* integer = std::get_if<std::int64_t>(&*value)) value = static_cast<double>(*integer);
  }
  if (!value || !setting.takes(*value))
    fail("{}: '{}' takes {}, not {}", entry.where, setting.key, setting.accepts(), entry.shown);
  return *value;
}

std::string read_whole_file(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) fail("{} is a folder, not a configuration file", path.string());
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot read the configuration {}: {}", path.string(), std::strerror(errno));
  std::ostringstream contents;
  contents << file.rdbuf();
  if (file.bad()) fail("cannot read the configuration {}: {}", path.string(), std::strerror(errno));
  return contents.str();
}

}  // namespace

std::vector<ConfigurationEntry> parse_configuration(std::string_view toml, const std::string& source) {
  require_shallow(toml, source);
  toml::table document;
  try {
    document = toml::parse(toml, source);
  } catch (const toml::parse_error& error) {
    fail("{}:{}: this is not TOML: {}", source, error.source().begin.line, error.description());
  }
  std::vector<ConfigurationEntry> entries;
  const auto add = [&](std::string key, const toml::key& name, const toml::node& node, bool is_section) {
    if (name.str().find('.') != std::string_view::npos) {
      fail("{0}:{1}: \"{2}\" in quotes is one name; write {2} without them", source, name.source().begin.line,
           name.str());
    }
    entries.push_back({std::move(key), value_of_node(node), show_node(node),
                       fmt::format("{}:{}", source, name.source().begin.line), is_section});
  };
  for (const auto& [section, node] : document) {
    add(std::string(section.str()), section, node, node.is_table());
    if (!node.is_table()) continue;
    for (const auto& [name, value] : *node.as_table())
      add(fmt::format("{}.{}", section.str(), name.str()), name, value, false);
  }
  return entries;
}

std::vector<ConfigurationEntry> parse_configuration_file(const std::filesystem::path& path) {
  return parse_configuration(read_whole_file(path), path.string());
}

void apply_configuration(const std::vector<ConfigurationEntry>& entries, Settings& settings) {
  Settings changed = settings;
  for (const ConfigurationEntry& entry : entries) {
    if (entry.is_section) {
      check_section(entry, settings.table());
    } else {
      const Setting& setting = settings.row(entry.key, entry.where);
      changed.set(setting.key, accepted_value(entry, setting));
    }
  }
  settings = std::move(changed);
}

std::string print_configuration(const Settings& settings) {
  // Explanations start in one column unless a value is as long as a path.
  constexpr std::size_t kLongestAligned = 32;
  std::vector<std::string> assignments;
  std::size_t column = 0;
  for (const Setting& setting : settings.table()) {
    assignments.push_back(fmt::format("{} = {}", setting.name(), print_value(settings.value(setting.key))));
    if (assignments.back().size() <= kLongestAligned) column = std::max(column, assignments.back().size());
  }
  std::string document;
  std::string_view section;
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const Setting& setting = settings.table()[i];
    if (setting.section() != section) {
      section = setting.section();
      document += fmt::format("{}[{}]\n", i == 0 ? "" : "\n", section);
    }
    document += fmt::format("{:<{}}  # {}", assignments[i], column, setting.explanation);
    if (!setting.choices.empty()) document += fmt::format(": {}", fmt::join(setting.choices, " | "));
    if (settings.value(setting.key) != setting.default_value)
      document += fmt::format(" (default: {})", print_value(setting.default_value));
    document += "\n";
  }
  return document;
}

}  // namespace haze
