#include "haze/tools/commands/options.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

/// The words fewest edits away from `word`, as "'--set' or '--seed'"; empty where none is near.
std::string nearest(const std::vector<std::string>& words, const std::string& word) {
  std::vector<std::string> best;
  size_t least = word.size() / 3 + 1;
  for (const std::string& candidate : words) {
    const size_t distance = edit_distance(word, candidate);
    if (distance > least) continue;
    if (distance < least) best.clear();
    least = distance;
    best.push_back(fmt::format("'{}'", candidate));
  }
  return fmt::format("{}", fmt::join(best, " or "));
}

/// The command that was chosen last: `haze data generate` rather than `haze data`.
const CLI::App& innermost(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : innermost(*chosen.back());
}

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : command.get_name();
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(sub->get_name());
  }
  return names;
}

std::string describe_unexpected(const CLI::App& command, const std::string& word) {
  const bool is_option = word.starts_with("-");
  const std::vector<std::string> commands = command_names(command);
  if (!is_option && commands.empty()) return fmt::format("there is no place for the argument '{}'", word);
  const std::string spelled = word.substr(0, word.find('='));
  const std::string fault = fmt::format("there is no {} '{}'", is_option ? "option" : "command", spelled);
  const std::string suggestion = nearest(is_option ? option_names(command) : commands, spelled);
  if (!suggestion.empty()) return fmt::format("{}; did you mean {}?", fault, suggestion);
  if (!is_option) return fmt::format("{}; the commands are {}", fault, fmt::join(commands, ", "));
  return fmt::format("{}; see {} --help", fault, full_name(command));
}

}  // namespace

CLI::Validator whole_number(int64_t minimum, int64_t maximum) {
  const auto check = [=](const std::string& text) -> std::string {
    int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error == std::errc() && rest == end && number >= minimum && number <= maximum) return {};
    if (maximum == std::numeric_limits<int64_t>::max())
      return fmt::format("takes a whole number of at least {}, not '{}'", minimum, text);
    return fmt::format("takes a whole number from {} to {}, not '{}'", minimum, maximum, text);
  };
  return CLI::Validator(check, "");
}

CLI::Validator as_setting(const std::string& key) {
  const auto check = [key](const std::string& text) -> std::string {
    Settings settings(training_settings());
    try {
      settings.override_with(key + "=" + text);
    } catch (const Error&) {
      for (const Setting& setting : settings.table()) {
        if (setting.key == key) return fmt::format("takes {}, not '{}'", setting.accepts(), text);
      }
    }
    return {};
  };
  return CLI::Validator(check, "");
}

std::string describe_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  const std::vector<std::string> unexpected = app.remaining(true);
  const std::string name = full_name(command);
  if (!unexpected.empty())
    return fmt::format("{}: {}", name, describe_unexpected(command, unexpected.front()));
  std::string sentence = error.what();
  // Its validators' sentences are of the form "--steps: takes ...".
  const bool is_value = dynamic_cast<const CLI::ValidationError*>(&error) != nullptr;
  if (const auto colon = sentence.find(": "); is_value && colon != std::string::npos)
    sentence.erase(colon, 1);
  return fmt::format("{}: {}", name, sentence);
}

}  // namespace haze
