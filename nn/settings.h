#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace haze {

/// An interval of numbers, each end either part of it (closed) or not (open).
struct Interval {
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool minimum_open = false;
  bool maximum_open = false;

  bool contains(double value) const;
  /// " of at least 1", " from 0 up to but not including 1", or nothing where there is no limit.
  std::string describe() const;
};

/// [minimum, infinity).
Interval at_least(double minimum);
/// (minimum, infinity).
Interval above(double minimum);
/// [minimum, maximum].
Interval between(double minimum, double maximum);
/// [minimum, maximum).
Interval from_to_below(double minimum, double maximum);
/// (minimum, maximum].
Interval above_to(double minimum, double maximum);

enum class SettingType { integer, real, boolean, text, choice };

/// A setting's value; a choice is held as its text.
using SettingValue = std::variant<std::int64_t, double, bool, std::string>;

/// Values under the names of their settings.
using NamedValues = std::vector<std::pair<std::string, SettingValue>>;

/// One row of a table of settings: what it is called, what it takes, and what it means.
struct Setting {
  std::string key;  // section and name, "transformer.layers", or a name alone, "model"
  SettingType type;
  SettingValue default_value;
  Interval interval;                 // of an integer or a real
  std::vector<std::string> choices;  // of a choice
  std::string explanation;           // one line
  /// Another setting and the values of it with which this one matters; empty: it always does.
  std::string with_key = {};
  std::vector<std::string> with_values = {};
  /// The first version of the settings that has it, and what programs of the versions before did.
  std::int64_t since = 1;
  SettingValue value_before = {};

  /// Empty where the key is a name alone.
  std::string_view section() const;
  std::string_view name() const;
  /// The values that the setting takes, as an error says it: "an integer of at least 1".
  std::string accepts() const;
  /// Whether it takes this value.
  bool takes(const SettingValue& value) const;
};

/// Every setting there is, sections one after another, in the order in which they are printed.
using SettingsTable = std::vector<Setting>;

Setting integer_setting(std::string key, std::int64_t default_value, Interval interval,
                        std::string explanation);
Setting real_setting(std::string key, double default_value, Interval interval, std::string explanation);
Setting boolean_setting(std::string key, bool default_value, std::string explanation);
Setting text_setting(std::string key, std::string default_value, std::string explanation);
Setting choice_setting(std::string key, std::string default_value, std::vector<std::string> choices,
                       std::string explanation);

/// The same setting, which matters only where `key` has one of these values: steps of some samplers.
Setting only_with(Setting setting, std::string key, std::vector<std::string> values);

/// The same setting, which there is since a version of the settings; runs of earlier versions are read as if
/// they had `value_before`.
Setting since(std::int64_t version, Setting setting, SettingValue value_before);
/// With the default for value_before: what it does by default is what was done before.
Setting since(std::int64_t version, Setting setting);

class Settings;

/// Whether the setting `key` matters with the others as they are (only_with).
bool matters(const Settings& settings, std::string_view key);

/// Throws Error where a setting that was given, as `shown`, matters only with another value of a second one.
void require_matters(const Settings& settings, std::string_view key, const std::string& shown);

/// A value for every setting of one table. Files are read and written by tools/run/configuration.h.
class Settings {
 public:
  /// Starts with every default. Throws where a default is not one of the values that its row accepts.
  explicit Settings(SettingsTable table);

  /// Takes over one "key=value" of the command line, as `--set` gives it; text needs no quotes. Throws Error
  /// on a key that is not in the table and on a value that its setting does not accept.
  void override_with(std::string_view assignment);

  /// The value of an integer setting. Throws where the table has no integer of this key; so do the other
  /// three.
  std::int64_t integer(std::string_view key) const;
  double real(std::string_view key) const;
  bool boolean(std::string_view key) const;
  /// The value of a text or a choice.
  const std::string& text(std::string_view key) const;

  bool has(std::string_view key) const { return indices_.contains(std::string(key)); }
  const SettingValue& value(std::string_view key) const;
  /// The row of a key. Throws Error, beginning with `where`, with the nearest keys there are.
  const Setting& row(std::string_view key, const std::string& where) const;
  /// Replaces one value. Throws Error, beginning with `where`, on an unknown key or a value that is not
  /// accepted.
  void set(std::string_view key, SettingValue value, const std::string& where = "the program");

  const SettingsTable& table() const { return table_; }

 private:
  std::size_t index_of(std::string_view key, const std::string& where) const;
  template <typename Value>
  const Value& value_as(std::string_view key, std::string_view type_name) const;

  SettingsTable table_;
  std::vector<SettingValue> values_;  // parallel to table_
  std::unordered_map<std::string, std::size_t> indices_;
};

/// The names of a table's sections, in their order; keys without a section belong to none.
std::vector<std::string> sections_of(const SettingsTable& table);

/// A value as TOML writes it.
std::string print_value(const SettingValue& value);

/// The keys of the table that a person who wrote `key` may have meant, nearest first. They are the fewest
/// edits away. The right name under a wrong section counts as one edit. Empty where none is near.
std::vector<std::string> nearest_keys(const SettingsTable& table, std::string_view key);

/// The number of insertions, deletions, substitutions and swaps of neighbours that turn one text into the
/// other (optimal string alignment distance, in bytes).
std::size_t edit_distance(std::string_view first, std::string_view second);

/// The first of `names` that is the fewest edits from `word`; empty where none is near enough for a person to
/// have meant it.
std::string nearest_name(const std::vector<std::string>& names, std::string_view word);

}  // namespace haze
