#include "haze/nn/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"

namespace haze {
namespace {

std::string_view section_of(std::string_view key) {
  const auto dot = key.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
}

std::string_view name_of(std::string_view key) {
  const auto dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// "a, b or c".
std::string join_with_or(const std::vector<std::string>& words) {
  std::string joined;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) joined += i + 1 == words.size() ? " or " : ", ";
    joined += words[i];
  }
  return joined;
}

std::vector<std::string> quoted(std::vector<std::string> words) {
  for (std::string& word : words) word = fmt::format("'{}'", word);
  return words;
}

/// A TOML basic string. JSON's escapes are TOML's too, except that TOML also wants DEL escaped.
/// Bytes that are not UTF-8 cannot be written in TOML: nothing is returned.
std::optional<std::string> toml_string(const std::string& text) {
  std::string escaped;
  try {
    escaped = nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    return std::nullopt;
  }
  for (auto at = escaped.find('\x7f'); at != std::string::npos; at = escaped.find('\x7f', at)) {
    escaped.replace(at, 1, "\\u007f");
  }
  return escaped;
}

/// The shortest decimal number that reads back as the same double, and that TOML reads as a float.
std::string toml_real(double value) {
  std::string digits = fmt::format("{}", value);
  if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
  return digits;
}

template <typename Number>
std::optional<SettingValue> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return SettingValue(number);
}

/// The value that a text of the command line stands for.
std::optional<SettingValue> value_of_text(const Setting& setting, std::string_view text) {
  switch (setting.type) {
    case SettingType::integer:
      return parse_number<std::int64_t>(text);
    case SettingType::real:
      return parse_number<double>(text);
    case SettingType::boolean:
      if (text == "true") return true;
      if (text == "false") return false;
      return std::nullopt;
    case SettingType::text:
    case SettingType::choice:
      // Somebody who copies a line of the file keeps its quotes.
      if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
        text = text.substr(1, text.size() - 2);
      return std::string(text);
  }
  return std::nullopt;
}

[[noreturn]] void fail_value(const Setting& setting, std::string_view shown, const std::string& where) {
  fail("{}: '{}' takes {}, not {}", where, setting.key, setting.accepts(), shown);
}

[[noreturn]] void fail_unknown_key(const SettingsTable& table, std::string_view key,
                                   const std::string& where) {
  const std::vector<std::string> nearest = nearest_keys(table, key);
  if (!nearest.empty()) {
    fail("{}: there is no setting '{}'; did you mean {}?", where, key, join_with_or(quoted(nearest)));
  }
  std::vector<std::string_view> names;
  for (const Setting& setting : table) {
    if (!setting.section().empty() && setting.section() == section_of(key)) names.push_back(setting.name());
  }
  if (!names.empty()) {
    fail("{}: there is no setting '{}'; section [{}] has {}", where, key, section_of(key),
         fmt::join(names, ", "));
  }
  fail("{}: there is no setting '{}'; the sections are {}", where, key, fmt::join(sections_of(table), ", "));
}

}  // namespace

bool Interval::contains(double value) const {
  const bool above_minimum = minimum_open ? value > minimum : value >= minimum;
  const bool below_maximum = maximum_open ? value < maximum : value <= maximum;
  return above_minimum && below_maximum;
}

std::string Interval::describe() const {
  if (std::isinf(minimum) && std::isinf(maximum)) return "";
  if (std::isinf(maximum)) return fmt::format(" {} {}", minimum_open ? "above" : "of at least", minimum);
  return fmt::format(" {} {} {} {}", minimum_open ? "above" : "from", minimum,
                     maximum_open ? "up to but not including" : "to", maximum);
}

Interval at_least(double minimum) {
  return {.minimum = minimum};
}
Interval above(double minimum) {
  return {.minimum = minimum, .minimum_open = true};
}
Interval between(double minimum, double maximum) {
  return {.minimum = minimum, .maximum = maximum};
}
Interval from_to_below(double minimum, double maximum) {
  return {.minimum = minimum, .maximum = maximum, .maximum_open = true};
}
Interval above_to(double minimum, double maximum) {
  return {.minimum = minimum, .maximum = maximum, .minimum_open = true};
}

std::string_view Setting::section() const {
  return section_of(key);
}
std::string_view Setting::name() const {
  return name_of(key);
}

std::string Setting::accepts() const {
  switch (type) {
    case SettingType::integer:
      return "an integer" + interval.describe();
    case SettingType::real:
      return "a number" + interval.describe();
    case SettingType::boolean:
      return "true or false";
    case SettingType::text:
      return "a text in UTF-8";
    case SettingType::choice:
      return join_with_or(quoted(choices));
  }
  return "";
}

bool Setting::takes(const SettingValue& value) const {
  switch (type) {
    case SettingType::integer: {
      const auto* integer = std::get_if<std::int64_t>(&value);
      return integer && interval.contains(static_cast<double>(*integer));
    }
    case SettingType::real: {
      const auto* real = std::get_if<double>(&value);
      return real && std::isfinite(*real) && interval.contains(*real);
    }
    case SettingType::boolean:
      return std::holds_alternative<bool>(value);
    case SettingType::text: {
      const auto* text = std::get_if<std::string>(&value);
      return text && toml_string(*text).has_value();
    }
    case SettingType::choice: {
      const auto* text = std::get_if<std::string>(&value);
      return text && std::find(choices.begin(), choices.end(), *text) != choices.end();
    }
  }
  return false;
}

Setting integer_setting(std::string key, std::int64_t default_value, Interval interval,
                        std::string explanation) {
  return {std::move(key), SettingType::integer, default_value, interval, {}, std::move(explanation)};
}

Setting real_setting(std::string key, double default_value, Interval interval, std::string explanation) {
  return {std::move(key), SettingType::real, default_value, interval, {}, std::move(explanation)};
}

Setting boolean_setting(std::string key, bool default_value, std::string explanation) {
  return {std::move(key), SettingType::boolean, default_value, {}, {}, std::move(explanation)};
}

Setting text_setting(std::string key, std::string default_value, std::string explanation) {
  return {std::move(key), SettingType::text, std::move(default_value), {}, {}, std::move(explanation)};
}

Setting choice_setting(std::string key, std::string default_value, std::vector<std::string> choices,
                       std::string explanation) {
  return {std::move(key),     SettingType::choice,   std::move(default_value), {},
          std::move(choices), std::move(explanation)};
}

Setting since(std::int64_t version, Setting setting, SettingValue value_before) {
  if (!setting.takes(value_before))
    fail("the setting {} does not take {}, its value before version {}", setting.key,
         print_value(value_before), version);
  setting.since = version;
  setting.value_before = std::move(value_before);
  return setting;
}

Setting since(std::int64_t version, Setting setting) {
  SettingValue value = setting.default_value;
  return since(version, std::move(setting), std::move(value));
}

Setting only_with(Setting setting, std::string key, std::vector<std::string> values) {
  setting.with_key = std::move(key);
  setting.with_values = std::move(values);
  return setting;
}

std::string print_value(const SettingValue& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&value)) return toml_real(*real);
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean ? "true" : "false";
  const auto& text = std::get<std::string>(value);
  return toml_string(text).value_or(fmt::format("\"{}\"", text));
}

std::vector<std::string> sections_of(const SettingsTable& table) {
  std::vector<std::string> sections;
  for (const Setting& setting : table) {
    if (setting.section().empty()) continue;
    if (sections.empty() || sections.back() != setting.section()) sections.emplace_back(setting.section());
  }
  return sections;
}

Settings::Settings(SettingsTable table) : table_(std::move(table)) {
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const Setting& setting = table_[i];
    if (!indices_.emplace(setting.key, i).second) fail("the table of settings has '{}' twice", setting.key);
    if (!setting.takes(setting.default_value)) {
      fail_value(setting, print_value(setting.default_value), "the table of settings");
    }
    values_.push_back(setting.default_value);
  }
}

std::size_t Settings::index_of(std::string_view key, const std::string& where) const {
  const auto found = indices_.find(std::string(key));
  if (found == indices_.end()) fail_unknown_key(table_, key, where);
  return found->second;
}

void Settings::override_with(std::string_view assignment) {
  const std::string where = fmt::format("--set {}", assignment);
  const auto equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    fail("{}: a setting is given as key=value, for example {}={}", where, table_.front().key,
         print_value(table_.front().default_value));
  }
  const std::size_t index = index_of(trim(assignment.substr(0, equals)), where);
  const std::string_view text = trim(assignment.substr(equals + 1));
  std::optional<SettingValue> value = value_of_text(table_[index], text);
  if (!value || !table_[index].takes(*value)) fail_value(table_[index], fmt::format("'{}'", text), where);
  values_[index] = std::move(*value);
}

template <typename Value>
const Value& Settings::value_as(std::string_view key, std::string_view type_name) const {
  const std::size_t index = index_of(key, "the program");
  const Value* value = std::get_if<Value>(&values_[index]);
  if (!value)
    fail("the setting '{}' takes {} and was asked for as {}", key, table_[index].accepts(), type_name);
  return *value;
}

std::int64_t Settings::integer(std::string_view key) const {
  return value_as<std::int64_t>(key, "an integer");
}
double Settings::real(std::string_view key) const {
  return value_as<double>(key, "a number");
}
bool Settings::boolean(std::string_view key) const {
  return value_as<bool>(key, "true or false");
}
const std::string& Settings::text(std::string_view key) const {
  return value_as<std::string>(key, "a text");
}

const Setting& Settings::row(std::string_view key, const std::string& where) const {
  return table_[index_of(key, where)];
}

const SettingValue& Settings::value(std::string_view key) const {
  return values_[index_of(key, "the program")];
}

void Settings::set(std::string_view key, SettingValue value, const std::string& where) {
  const std::size_t index = index_of(key, where);
  if (!table_[index].takes(value)) fail_value(table_[index], print_value(value), where);
  values_[index] = std::move(value);
}

bool matters(const Settings& settings, std::string_view key) {
  const Setting& row = settings.row(key, "the program");
  return row.with_key.empty() || std::ranges::count(row.with_values, settings.text(row.with_key)) > 0;
}

void require_matters(const Settings& settings, std::string_view key, const std::string& shown) {
  if (matters(settings, key)) return;
  const Setting& row = settings.row(key, "the program");
  fail("{} is for {} {}, and it is {}", shown, name_of(row.with_key), join_with_or(row.with_values),
       settings.text(row.with_key));
}

std::vector<std::string> nearest_keys(const SettingsTable& table, std::string_view key) {
  const std::size_t farthest = name_of(key).size() / 3 + 1;
  std::size_t best = farthest;
  std::vector<std::string> nearest;
  for (const Setting& setting : table) {
    std::size_t distance = edit_distance(key, setting.key);
    if (setting.section() != section_of(key)) {
      distance = std::min(distance, edit_distance(name_of(key), setting.name()) + 1);
    }
    if (distance > best) continue;
    if (distance < best) nearest.clear();
    best = distance;
    nearest.push_back(setting.key);
  }
  return nearest;
}

std::size_t edit_distance(std::string_view first, std::string_view second) {
  // Three rows of the table of distances between prefixes: two back (for a swap), the last, and this one.
  std::vector<std::size_t> two_back(second.size() + 1), last(second.size() + 1), row(second.size() + 1);
  for (std::size_t j = 0; j <= second.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= first.size(); ++i) {
    std::swap(two_back, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= second.size(); ++j) {
      const std::size_t substitution = last[j - 1] + (first[i - 1] == second[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && first[i - 1] == second[j - 2] && first[i - 2] == second[j - 1]) {
        row[j] = std::min(row[j], two_back[j - 2] + 1);
      }
    }
  }
  return row[second.size()];
}

std::string nearest_name(const std::vector<std::string>& names, std::string_view word) {
  const auto nearest = std::min_element(names.begin(), names.end(), [&](const auto& a, const auto& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
  const bool is_near = nearest != names.end() && edit_distance(word, *nearest) <= word.size() / 3 + 1;
  return is_near ? *nearest : "";
}

}  // namespace haze
