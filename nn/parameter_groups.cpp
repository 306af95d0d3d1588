#include "haze/nn/parameter_groups.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace haze {
namespace {

struct Rule {
  std::string prefix;
  ParameterGroup group;

  bool matches(std::string_view name) const {
    return name == prefix || (name.starts_with(prefix) && name[prefix.size()] == '.');
  }
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// The parts of a text between separators, without the space around them.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t end = text.find(separator); end != std::string_view::npos; end = text.find(separator)) {
    parts.push_back(trimmed(text.substr(0, end)));
    text.remove_prefix(end + 1);
  }
  parts.push_back(trimmed(text));
  return parts;
}

double parse_number(std::string_view text, std::string_view setting, const std::string& prefix) {
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc() && rest == text.data() + text.size();
  if (!is_number || !(value >= 0) || !std::isfinite(value)) {
    fail("parameter groups: the {} of \"{}\" must be a finite number, not negative, got \"{}\"", setting,
         prefix, text);
  }
  return value;
}

void apply_setting(std::string_view text, Rule& rule, std::vector<std::string_view>& seen) {
  const std::string_view key = text.substr(0, text.find_first_of(" \t\r\n"));
  const std::string_view argument = trimmed(text.substr(key.size()));
  if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
    fail("parameter groups: \"{}\" has {} twice", rule.prefix, key);
  }
  seen.push_back(key);
  if (key == "rate") {
    rule.group.rate = parse_number(argument, key, rule.prefix);
  } else if (key == "decay") {
    rule.group.weight_decay = parse_number(argument, key, rule.prefix);
  } else if (key == "frozen" && argument.empty()) {
    rule.group.rate = 0;
  } else {
    fail("parameter groups: \"{}\" takes \"rate NUMBER\", \"decay NUMBER\" or \"frozen\", not \"{}\"",
         rule.prefix, text);
  }
}

Rule parse_rule(std::string_view text) {
  const size_t colon = text.find(':');
  Rule rule;
  rule.prefix = trimmed(text.substr(0, colon));
  if (colon == std::string_view::npos || rule.prefix.empty()) {
    fail("parameter groups: a rule is \"PREFIX: SETTINGS\", not \"{}\"", text);
  }
  std::vector<std::string_view> seen;
  for (const std::string_view setting : split(text.substr(colon + 1), ',')) {
    apply_setting(setting, rule, seen);
  }
  if (seen.size() > 1 && std::find(seen.begin(), seen.end(), "frozen") != seen.end()) {
    fail("parameter groups: \"{}\" is frozen, so it takes no other setting", rule.prefix);
  }
  return rule;
}

std::vector<Rule> parse_rules(std::string_view text) {
  std::vector<Rule> rules;
  if (trimmed(text).empty()) return rules;
  for (const std::string_view part : split(text, ';')) {
    Rule rule = parse_rule(part);
    for (const Rule& earlier : rules) {
      if (earlier.prefix == rule.prefix) {
        fail("parameter groups: the prefix \"{}\" occurs twice", rule.prefix);
      }
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

void check_taken(const Rule& rule, const std::vector<NamedParameter>& parameters) {
  if (!rule.group.parameters.empty()) return;
  const bool is_shadowed = std::any_of(parameters.begin(), parameters.end(),
                                       [&](const auto& parameter) { return rule.matches(parameter.name); });
  if (is_shadowed) {
    fail("parameter groups: earlier prefixes take every parameter of \"{}\"", rule.prefix);
  }
  fail("parameter groups: no parameter has the prefix \"{}\"", rule.prefix);
}

}  // namespace

std::vector<ParameterGroup> parameter_groups(const std::vector<NamedParameter>& parameters,
                                             std::string_view text) {
  std::vector<Rule> rules = parse_rules(text);
  ParameterGroup rest;
  for (const NamedParameter& parameter : parameters) {
    const auto rule =
        std::find_if(rules.begin(), rules.end(), [&](const Rule& r) { return r.matches(parameter.name); });
    (rule == rules.end() ? rest : rule->group).parameters.push_back(parameter);
  }
  std::vector<ParameterGroup> groups;
  for (Rule& rule : rules) {
    check_taken(rule, parameters);
    groups.push_back(std::move(rule.group));
  }
  if (!rest.parameters.empty() || groups.empty()) groups.push_back(std::move(rest));
  if (std::all_of(groups.begin(), groups.end(), [](const auto& group) { return group.rate == 0; })) {
    fail("parameter groups: every parameter is frozen, so nothing is left to train");
  }
  return groups;
}

}  // namespace haze
