#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "haze/nn/file_io.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/saved_model.h"

namespace haze {
namespace {

/// The rows of one key in the tables of all models that have it.
struct SharedSetting {
  std::string key;
  std::vector<Setting> rows;
  std::vector<std::string> models;
};

/// Models of texts that sample have settings of their own for it.
bool is_classifier_of_texts(const ModelInfo& model) {
  const bool makes_tensors = model.tasks.front() == "tensors";
  return !makes_tensors && std::none_of(model.settings.begin(), model.settings.end(),
                                        [](const Setting& row) { return row.section() == "sample"; });
}

/// The settings of section [sample] of all models that sample, in the order of their first occurrence.
std::vector<SharedSetting> sample_settings_of_all_models() {
  std::vector<SharedSetting> settings;
  for (const ModelRow& model : model_table()) {
    if (is_classifier_of_texts(model.info)) continue;
    for (const Setting& row : settings_table(model.info)) {
      if (row.section() != "sample") continue;
      const auto is_it = [&](const SharedSetting& setting) { return setting.key == row.key; };
      auto found = std::find_if(settings.begin(), settings.end(), is_it);
      if (found == settings.end()) found = settings.insert(found, {row.key, {}, {}});
      found->rows.push_back(row);
      found->models.push_back(model.info.name);
    }
  }
  return settings;
}

bool takes_text(const Setting& row, const std::string& text) {
  try {
    Settings settings({row});
    settings.override_with(row.key + "=" + text);
    return row.type != SettingType::integer || !reads_as_octal(text);
  } catch (const Error&) {
    return false;
  }
}

/// What the rows accept, each once.
std::vector<std::string> accepted_by(const std::vector<Setting>& rows) {
  std::vector<std::string> accepted;
  for (const Setting& row : rows) {
    if (std::find(accepted.begin(), accepted.end(), row.accepts()) == accepted.end())
      accepted.push_back(row.accepts());
  }
  return accepted;
}

/// Accepts what one of the rows accepts.
CLI::Validator as_setting(const std::vector<Setting>& rows) {
  const auto check = [rows](const std::string& text) -> std::string {
    for (const Setting& row : rows) {
      if (takes_text(row, text)) return {};
    }
    return fmt::format("takes {}, not '{}'", fmt::join(accepted_by(rows), ", or "), text);
  };
  return CLI::Validator(check, "");
}

/// Their explanations, each once, and none that is only the beginning of another: models may share a
/// setting's name, and not all of what it means.
std::string explanations_of(const std::vector<Setting>& rows) {
  std::vector<std::string> explanations;
  for (const Setting& row : rows) {
    const bool is_said = std::any_of(rows.begin(), rows.end(), [&](const Setting& other) {
      return other.explanation != row.explanation && other.explanation.starts_with(row.explanation);
    });
    if (!is_said &&
        std::find(explanations.begin(), explanations.end(), row.explanation) == explanations.end())
      explanations.push_back(row.explanation);
  }
  return fmt::format("{}", fmt::join(explanations, " / "));
}

/// What of all models' choices there is.
std::string explanation_of(const std::vector<Setting>& rows) {
  std::vector<std::string> choices;
  for (const Setting& row : rows) {
    for (const std::string& choice : row.choices) {
      if (std::find(choices.begin(), choices.end(), choice) == choices.end()) choices.push_back(choice);
    }
  }
  std::string explanation = explanations_of(rows);
  if (!choices.empty()) explanation += fmt::format(": {}", fmt::join(choices, " | "));
  return explanation + " (default: the run's)";
}

/// The heading under which an option stands in the help.
std::string group_of(const SharedSetting& setting, const std::vector<SharedSetting>& all) {
  const auto most = std::max_element(
      all.begin(), all.end(), [](const auto& a, const auto& b) { return a.models.size() < b.models.size(); });
  if (setting.models.size() == most->models.size()) return "Options of sampling";
  return fmt::format("Options of sampling with {}", fmt::join(setting.models, ", "));
}

std::string option_name(const Setting& row) {
  std::string name(row.name());
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

}  // namespace

void SampleSettingOptions::add_to(CLI::App& command, std::initializer_list<std::string_view> without) {
  command.footer(fmt::format("haze help {} RUN shows the options that the run's model has, and their values.",
                             command.get_name()));
  const std::vector<SharedSetting> all = sample_settings_of_all_models();
  for (const SharedSetting& setting : all) {
    const Setting& row = setting.rows.front();
    if (std::find(without.begin(), without.end(), row.name()) != without.end()) continue;
    Option& option = options_.emplace_back(Option{option_name(row), row.key, {}});
    if (row.type == SettingType::boolean) {
      command
          .add_flag_callback(
              option.name, [&option] { option.value = "true"; }, explanations_of(setting.rows))
          ->group(group_of(setting, all));
    } else {
      command.add_option(option.name, option.value, explanation_of(setting.rows))
          ->check(as_setting(setting.rows))
          ->group(group_of(setting, all));
    }
  }
}

void SampleSettingOptions::apply_to(Settings& settings) const {
  for (const Option& option : options_) {
    if (!option.value) continue;
    if (!settings.has(option.key))
      throw WrongUsage(fmt::format("{} is not for the model {}", option.name, settings.text("model")));
    apply_assignments({option.key + "=" + *option.value}, settings);
  }
  for (const Option& option : options_) {
    if (!option.value) continue;
    try {
      require_matters(settings, option.key, option.name);
    } catch (const Error& error) {
      throw WrongUsage(error.what());
    }
  }
}

std::optional<std::string> SampleSettingOptions::given(std::string_view key) const {
  for (const Option& option : options_) {
    if (option.key == key && option.value) return option.name;
  }
  return std::nullopt;
}

namespace {

/// Leaves the options that the run's model has, with the values that the run has.
void show_options_of_run(CLI::App& command, const std::string& run) {
  const Settings settings = read_run_configuration(read_whole_file(checkpoint_in(run) / "config.toml"),
                                                   "config.toml of the checkpoint");
  for (const SharedSetting& setting : sample_settings_of_all_models()) {
    CLI::Option* option = command.get_option_no_throw(option_name(setting.rows.front()));
    if (!option) continue;
    if (!settings.has(setting.key)) {
      option->group("");  // hidden
      continue;
    }
    const Setting& row = settings.row(setting.key, "help");
    const std::string choices = row.choices.empty() ? "" : fmt::format(": {}", fmt::join(row.choices, " | "));
    option->group(fmt::format("Options of sampling with {}", settings.text("model")));
    option->description(fmt::format("{}{} (the run's: {})", row.explanation, choices,
                                    print_value(settings.value(setting.key))));
  }
}

}  // namespace

std::string help_for(CLI::App& app, const std::vector<std::string>& words) {
  const auto samples = [&](const CLI::App* command) {
    return words.size() == 2 && command->get_name() == words.front() &&
           command->get_option_no_throw("--precision");
  };
  const std::vector<CLI::App*> sampling = app.get_subcommands(samples);
  if (sampling.empty()) return help_of(command_called(app, words));
  if (!std::filesystem::exists(words.back())) {
    throw WrongUsage(fmt::format("haze {} has no commands of its own, and there is no run '{}'",
                                 words.front(), words.back()));
  }
  show_options_of_run(*sampling.front(), words.back());
  return help_of(*sampling.front());
}

}  // namespace haze
