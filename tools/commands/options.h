#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
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

/// Whether CLI11 takes it for an octal number: 010 for 8.
bool reads_as_octal(const std::string& number);

/// Accepts a name that is not empty, of a file or a folder.
CLI::Validator file_name();

/// Most samples that a command draws: they are all in memory.
inline constexpr int64_t kMostSamples = 1000000;

/// Marks the words of a command line that begin with a dash and are no options, as in `haze infill RUN
/// "-h _"`, so that they are taken for arguments of `command`.
void mark_texts(const CLI::App& command, std::vector<std::string>& words);
/// The word without its mark, if it has one.
std::string without_text_mark(const std::string& word);

/// The command of `app` called by these words, such as "data", "show". Throws WrongUsage where there is none.
const CLI::App& command_called(const CLI::App& app, const std::vector<std::string>& words);

/// What `--help` prints of a command.
std::string help_of(const CLI::App& command);

/// What `haze help` prints for these words: a command or, after a command that samples, a run, of which it
/// then shows the options and their values. Throws WrongUsage where there is no such command.
std::string help_for(CLI::App& app, const std::vector<std::string>& words);

/// Options for the settings of section [sample], of all models together: --top-p for sample.top_p. What a
/// model does not have is refused once it is known which one it is.
class SampleSettingOptions {
 public:
  /// Adds them to a command, except those of the settings `without`, such as "count". In the help they are
  /// grouped by the models that have them.
  void add_to(CLI::App& command, std::initializer_list<std::string_view> without = {});
  /// Takes over what was given. Throws WrongUsage where the model has no such setting, or its sampler no use
  /// for it.
  void apply_to(Settings& settings) const;
  /// The name of the option that sets `key`, such as "--guidance", where it was given.
  std::optional<std::string> given(std::string_view key) const;

 private:
  struct Option {
    std::string name, key;
    std::optional<std::string> value;
  };
  std::deque<Option> options_;  // CLI11 keeps their addresses
};

/// Makes the folder that `file` is to be written to, where it is missing. Throws Error where it cannot.
void make_folder_of(const std::filesystem::path& file);

/// Opens a file of texts. Throws Error where it cannot be opened, or is a folder.
std::ifstream open_texts(const std::string& path);

/// What is wrong with a command line, in one sentence that begins with the command, with the nearest right
/// word for a wrong one.
std::string describe_parse_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace haze
