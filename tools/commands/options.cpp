#include "haze/tools/commands/options.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/text/text_format.h"

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

/// The commands that have an option, with their full names.
void add_commands_with(const CLI::App& app, const std::string& option, std::vector<std::string>& found) {
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_option_no_throw(option)) found.push_back(full_name(*sub));
    add_commands_with(*sub, option, found);
  }
}

const CLI::App& root_of(const CLI::App& command) {
  return command.get_parent() ? root_of(*command.get_parent()) : command;
}

/// What is wrong with an option that some command has; nothing where none has it.
std::optional<std::string> describe_misplaced(const CLI::App& command, const std::string& option) {
  if (!option.starts_with("--")) return {};
  if (command.get_option_no_throw(option))
    return fmt::format("the option '{}' stands after the command: {} {} ...", option, full_name(command),
                       option);
  std::vector<std::string> others;
  add_commands_with(root_of(command), option, others);
  if (others.empty()) return {};
  if (!command.get_parent())
    return fmt::format("the option '{}' stands after a command: {} {} ...", option, others.front(), option);
  return fmt::format("there is no option '{}' here, but {} {} it{}", option, fmt::join(others, ", "),
                     others.size() == 1 ? "has" : "have",
                     option == "--out" ? "; the result goes to standard output" : "");
}

std::string describe_unexpected(const CLI::App& command, const std::string& word) {
  const bool is_option = word.starts_with("-");
  const std::vector<std::string> commands = command_names(command);
  if (!is_option && commands.empty()) return fmt::format("there is no place for the argument '{}'", word);
  const std::string spelled = word.substr(0, word.find('='));
  if (const auto misplaced = describe_misplaced(command, spelled)) return *misplaced;
  const std::string fault = fmt::format("there is no {} '{}'", is_option ? "option" : "command", spelled);
  const std::string suggestion = nearest(is_option ? option_names(command) : commands, spelled);
  if (!suggestion.empty()) return fmt::format("{}; did you mean {}?", fault, suggestion);
  if (!is_option) return fmt::format("{}; the commands are {}", fault, fmt::join(commands, ", "));
  return fmt::format("{}; see {} --help", fault, full_name(command));
}

std::string describe_missing(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_required() || option->count() > 0) continue;
    return fmt::format("the {} '{}' is missing", option->get_positional() ? "argument" : "option",
                       option->get_name());
  }
  return fmt::format("a command is missing; the commands are {}", fmt::join(command_names(command), ", "));
}

std::string describe_conflict(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    for (const CLI::Option* other : option->get_excludes()) {
      if (option->count() > 0 && other->count() > 0)
        return fmt::format("{} and {} do not go together", other->get_name(), option->get_name());
    }
  }
  return "two options do not go together";
}

/// From a sentence such as "Could not convert: --steps = 08".
std::string describe_conversion(const CLI::App& command, const std::string& sentence) {
  const std::string assignment = sentence.substr(sentence.find(": ") + 2);
  const size_t equals = assignment.find(" = ");
  if (equals == std::string::npos) return sentence;
  const std::string name = assignment.substr(0, equals);
  const CLI::Option* option = command.get_option_no_throw(name);
  const bool is_flag = option && option->get_items_expected_max() == 0;
  if (is_flag) return fmt::format("{} takes no value", name);
  return fmt::format("{} does not take '{}'", name, assignment.substr(equals + 3));
}

/// What CLI11 found wrong, in plain words. Of some errors, only its sentence says which option is meant.
std::string describe_fault(const CLI::App& command, const CLI::ParseError& error) {
  std::string sentence = error.what();
  if (dynamic_cast<const CLI::RequiredError*>(&error)) return describe_missing(command);
  if (dynamic_cast<const CLI::ExcludesError*>(&error)) return describe_conflict(command);
  if (dynamic_cast<const CLI::ConversionError*>(&error)) return describe_conversion(command, sentence);
  const size_t colon = sentence.find(": ");
  if (colon == std::string::npos) return sentence;
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error)) {
    const bool has_none = sentence.ends_with(" missing");
    return sentence.substr(0, colon) + (has_none ? " needs a value" : " can be given only once");
  }
  // Our validators' sentences are of the form "--steps: takes ...".
  if (dynamic_cast<const CLI::ValidationError*>(&error)) sentence.erase(colon, 1);
  return sentence;
}

}  // namespace

bool reads_as_octal(const std::string& number) {
  return number.size() > 1 && number.front() == '0';
}

bool assigns_only(std::initializer_list<std::string_view> keys, const std::vector<std::string>& assignments) {
  return std::all_of(assignments.begin(), assignments.end(), [&](const std::string& assignment) {
    const std::string_view key = trim(std::string_view(assignment).substr(0, assignment.find('=')));
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  });
}

void apply_assignments(const std::vector<std::string>& assignments, Settings& settings) {
  try {
    for (const std::string& assignment : assignments) settings.override_with(assignment);
  } catch (const Error& error) {
    throw WrongUsage(error.what());
  }
}

CLI::Validator whole_number(int64_t minimum, int64_t maximum) {
  const auto check = [=](const std::string& text) -> std::string {
    int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    const bool is_number = error == std::errc() && rest == end && !reads_as_octal(text);
    if (is_number && number >= minimum && number <= maximum) return {};
    const bool is_too_large = error == std::errc::result_out_of_range && !text.starts_with("-");
    if (maximum == std::numeric_limits<int64_t>::max() && !is_too_large)
      return fmt::format("takes a whole number of at least {}, not '{}'", minimum, text);
    return fmt::format("takes a whole number from {} to {}, not '{}'", minimum, maximum, text);
  };
  return CLI::Validator(check, "");
}

CLI::Validator file_name() {
  const auto check = [](const std::string& text) -> std::string {
    return text.empty() ? "takes a name, not ''" : "";
  };
  return CLI::Validator(check, "");
}

namespace {

/// No text that a person writes begins with it (ASCII's "start of text").
constexpr char kTextMark = '\x02';

/// CLI11 takes whatever begins with a dash for an option; but no option has a blank in its name.
bool is_text(const std::string& word) {
  return word.starts_with("-") && word.substr(0, word.find('=')).find_first_of(" \t\n") != std::string::npos;
}

}  // namespace

void mark_texts(const CLI::App& command, std::vector<std::string>& words) {
  for (size_t i = 1; i < words.size(); ++i) {
    const CLI::Option* before = command.get_option_no_throw(words[i - 1]);
    const bool is_value = before && before->get_items_expected_max() > 0;
    if (!is_value && is_text(words[i])) words[i].insert(words[i].begin(), kTextMark);
  }
}

std::string without_text_mark(const std::string& word) {
  return word.starts_with(kTextMark) ? word.substr(1) : word;
}

const CLI::App& command_called(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  for (const std::string& word : words) {
    const auto is_called = [&](const CLI::App* sub) { return sub->get_name() == word; };
    const std::vector<const CLI::App*> found = command->get_subcommands(is_called);
    if (found.empty()) {
      throw WrongUsage(command_names(*command).empty()
                           ? fmt::format("{} has no commands of its own", full_name(*command))
                           : describe_unexpected(*command, word));
    }
    command = found.front();
  }
  return *command;
}

std::string help_of(const CLI::App& command) {
  return command.get_formatter()->make_help(&command, full_name(command), CLI::AppFormatMode::Normal);
}

std::string describe_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  const std::vector<std::string> unexpected = app.remaining(true);
  const std::string name = full_name(command);
  if (!unexpected.empty())
    return fmt::format("{}: {}", name, describe_unexpected(command, unexpected.front()));
  return fmt::format("{}: {}", name, describe_fault(command, error));
}

std::ifstream open_texts(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail("{}: it is a folder, not a file of texts", path);
  std::ifstream file(path);
  if (!file) fail("{}: the file cannot be opened: {}", path, std::strerror(errno));
  return file;
}

void make_folder_of(const std::filesystem::path& file) {
  if (!file.has_parent_path()) return;
  std::error_code problem;
  std::filesystem::create_directories(file.parent_path(), problem);
  if (problem) fail("cannot make the folder {}: {}", file.parent_path().string(), problem.message());
}

}  // namespace haze
