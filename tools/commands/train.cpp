#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/cpu/parallel.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/configuration.h"
#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/relative_paths.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/trainer.h"
#include "haze/tools/run/training_settings.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

/// With graphs, rows of a batch are rounded up to multiples of it.
constexpr int64_t kRowMultiple = 64;

struct Arguments {
  std::string config, out = "runs/train", init;
  std::vector<std::string> assignments;
  std::optional<int64_t> seed;
  int64_t stop_at = 0, record = 0, profile = 0;
  bool resume = false, print_config = false, json = false, graphs = false;
  Device device = Device::cpu;
};

std::optional<std::filesystem::path> configuration_of(const Arguments& arguments) {
  if (arguments.config.empty()) return {};
  return arguments.config;
}

/// The value of an assignment of this key; nothing where there is none.
std::optional<std::string> assigned(const Arguments& arguments, std::string_view key) {
  std::optional<std::string> value;
  for (const std::string& assignment : arguments.assignments) {
    const size_t equals = assignment.find('=');
    if (assigns_only({key}, {assignment}) && equals != std::string::npos)
      value = assignment.substr(equals + 1);
  }
  return value;
}

/// Whether data.train is a file of one's own of which nobody has said what it holds.
bool format_is_guessed(const Arguments& arguments, const Settings& settings) {
  if (!settings.has("data.format") || settings.text("data.train").empty()) return false;
  if (assigned(arguments, "data.format")) return false;
  if (arguments.config.empty()) return true;
  const std::vector<ConfigurationEntry> entries = parse_configuration_file(arguments.config);
  return std::none_of(entries.begin(), entries.end(),
                      [](const auto& entry) { return entry.key == "data.format"; });
}

Settings settings_of(const Arguments& arguments) {
  const auto configuration = configuration_of(arguments);
  settings_from(configuration, {});  // for what is wrong in the file, which is no wrong command line
  try {
    Settings settings = settings_from(configuration, arguments.assignments);
    if (arguments.seed) settings.set("train.seed", *arguments.seed);
    if (format_is_guessed(arguments, settings)) {
      const TextFormat format = guess_format(beginning_of(settings.text("data.train")));
      settings.set("data.format", std::string(format_name(format)));
    }
    return settings;
  } catch (const Error& error) {
    throw WrongUsage(error.what());
  }
}

bool learns_texts_and_pairs(const ModelInfo& model) {
  const auto learns = [&](const char* task) {
    return std::find(model.tasks.begin(), model.tasks.end(), task) != model.tasks.end();
  };
  return learns("texts") && learns("pairs");
}

/// Says where the sources of pairs are not learnt, and how they are.
void say_ignored_sources(const Settings& settings) {
  if (settings.text("data.task") != "texts" || settings.text("data.format") != "jsonl") return;
  const std::vector<std::string> first = beginning_of(settings.text("data.train"), 1);
  try {
    if (first.empty() || parse_record(TextFormat::jsonl, trim(first.front())).source.empty()) return;
  } catch (const Error&) {
    return;  // the run says what is wrong with the line
  }
  const std::string& model = settings.text("model");
  const ModelRow* row = learns_texts_and_pairs(model_row(model).info) ? &model_row(model) : nullptr;
  for (const ModelRow& other : model_table()) {
    if (!row && learns_texts_and_pairs(other.info)) row = &other;
  }
  if (!row) return;
  const std::string change = row->info.name == model ? "" : fmt::format("model={} --set ", row->info.name);
  say(fmt::format(
      "haze: the field \"src\" of {} is not learnt, since data.task is texts; --set {}data.task=pairs learns "
      "to answer it",
      settings.text("data.train"), change));
}

/// Says what was guessed of the files, so that nobody trains on what they did not mean.
void say_guesses(const Arguments& arguments, const Settings& settings) {
  if (!settings.has("data.format") || settings.text("data.train").empty()) return;
  const std::string& file = settings.text("data.train");
  if (beginning_of(file).empty()) return;  // what is wrong with it is said when it is read
  if (format_is_guessed(arguments, settings)) {
    const std::string& format = settings.text("data.format");
    const bool is_table = format == "lines" && looks_like_table(beginning_of(file));
    const char* hint = "";
    if (is_table) {
      hint =
          "; it looks like a table, whose separators become part of the texts; data.format=jsonl has fields";
    } else if (format == "lines" && may_be_one_text(file)) {
      hint =
          ", one text a line; --set data.format=raw --set data.tokenizer=word-punctuation, or =character, "
          "reads one text, and keeps its line ends and blank lines";
    }
    say(fmt::format("haze: {} is read as data.format={}{}", file, format, hint));
  }
  if (settings.text("data.valid").empty()) {
    const bool is_raw = settings.text("data.format") == "raw";
    say(fmt::format("haze: {} of {} is held out to evaluate on; data.valid names another file",
                    is_raw ? "the last tenth" : "every tenth text", file));
  }
  say_ignored_sources(settings);
}

/// Does `begin` with the settings of the command line. What only `--set` makes wrong is a wrong command line.
template <typename Begin>
auto with_settings(const Arguments& arguments, Begin begin) {
  Settings settings = settings_of(arguments);
  try {
    resolve_training_settings(settings);
  } catch (const Error& error) {
    if (arguments.assignments.empty()) throw;
    throw WrongUsage(error.what());
  }
  try {
    return begin(settings);
  } catch (const RefusedSettings& error) {
    if (arguments.assignments.empty()) throw;
    throw WrongUsage(error.what());
  }
}

/// Whether a run of some model that goes on may be told anew where this setting's file, folder or run is.
bool may_have_moved(const std::string& key) {
  return std::any_of(model_table().begin(), model_table().end(), [&](const ModelRow& row) {
    const std::vector<std::string> keys = path_keys(row.info);
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  });
}

/// The options of a run that goes on: its settings are what they were, but its files and the runs that it
/// stands on may have moved, and it may go on for longer.
TrainOptions resuming(TrainOptions options, const Arguments& arguments) {
  bool allowed = arguments.config.empty() && !arguments.seed && !arguments.record && arguments.init.empty();
  for (const std::string& assignment : arguments.assignments) {
    const size_t equals = assignment.find('=');
    const std::string key(trim(std::string_view(assignment).substr(0, equals)));
    if (equals != std::string::npos && may_have_moved(key)) {
      options.moved_paths.emplace_back(key, assignment.substr(equals + 1));
    } else if (key != "train.steps") {
      allowed = false;
    }
  }
  if (!allowed) {
    throw WrongUsage(
        "--resume goes on with the settings of the run: train.steps can be set anew, and, where they have "
        "moved, the files data.train, data.valid and data.test, data.folder, and runs that the run stands "
        "on; "
        "--config, --seed, --record, --init and other settings belong to a new run");
  }
  if (const auto steps = assigned(arguments, "train.steps")) {
    Settings settings(settings_table(model_table().front().info));
    apply_assignments({"train.steps=" + *steps}, settings);
    options.steps = settings.integer("train.steps");
  }
  return options;
}

/// Goes on with a run. What `--set` makes wrong is a wrong command line.
std::unique_ptr<Trainer> resume(const TrainOptions& options, const Arguments& arguments) {
  try {
    return Trainer::resume(resuming(options, arguments));
  } catch (const RefusedSettings& error) {
    if (arguments.assignments.empty()) throw;
    throw WrongUsage(error.what());
  }
}

void report(const Arguments& arguments, const TrainResult& result) {
  if (arguments.json) {
    nlohmann::ordered_json json{{"run", arguments.out},
                                {"step", result.step},
                                {"last_step", result.last_step},
                                {"interrupted", result.interrupted_by != 0}};
    for (const Measure& measure : result.data.measures) {
      nlohmann::ordered_json& field = json["data"][measure.name];
      if (measure.decimals == 0) {
        field = static_cast<int64_t>(measure.value);
      } else {
        field = measure.value;
      }
    }
    json["parameters"] = result.parameters;
    if (arguments.graphs) json["replays"] = result.replays;
    if (result.evaluation) {
      const Measure& first = result.evaluation->measures.front();
      json["validation_" + first.name] = first.value;
      if (first.error) json["validation_error"] = *first.error;
    }
    if (result.profile) json["profile"] = profile_json(*result.profile);
    fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  if (result.profile) {
    fmt::print("{}every call: {}/profile.json, a trace that Perfetto opens\n", profile_table(*result.profile),
               arguments.out);
  }
  if (arguments.graphs) fmt::print("{} updates were replays of a graph\n", result.replays);
  if (result.step < result.last_step || result.interrupted_by != 0) {
    const std::string device =
        arguments.device == Device::cpu ? "" : fmt::format(" --device {}", name(arguments.device));
    fmt::print("stopped at step {} of {}; go on by: haze train --resume --out {}{}{}\n", result.step,
               result.last_step, arguments.out, device, arguments.graphs ? " --graphs" : "");
  } else {
    fmt::print("finished at step {}: {} holds the checkpoint, metrics.jsonl and plot.svg\n", result.step,
               arguments.out);
    if (result.best && result.best->step < result.step) {
      fmt::print(
          "the best evaluation was at step {}; {}/best names that checkpoint to haze sample and haze eval\n",
          result.best->step, arguments.out);
    }
  }
}

int train(const Arguments& arguments) {
  if (arguments.print_config) {
    // What is printed says "auto" where that is what was said.
    with_settings(arguments, [](const Settings&) {});
    fmt::print("{}", print_configuration(settings_of(arguments)));
    return 0;
  }
  TrainOptions options;
  options.run_folder = arguments.out;
  options.stop_at = arguments.stop_at;
  options.record_steps = arguments.record;
  options.profile_steps = arguments.profile;
  options.device = arguments.device;
  options.graphs = arguments.graphs;
  if (arguments.graphs) options.row_multiple = kRowMultiple;
  std::unique_ptr<Trainer> trainer;
  if (arguments.resume) {
    trainer = resume(options, arguments);
  } else {
    if (!arguments.init.empty()) options.initial_run = arguments.init;
    trainer = with_settings(arguments, [&](const Settings& settings) {
      say_guesses(arguments, settings);
      return Trainer::start(settings, options);
    });
  }
  const TrainResult result = trainer->run();
  // Nobody is left to read it where the terminal was closed.
  if (result.interrupted_by != SIGHUP) report(arguments, result);
  return result.interrupted_by != 0 ? interrupted_status(result.interrupted_by) : 0;
}

}  // namespace

void add_train_command(CLI::App& app, int& status) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("train", "Train a model, or go on with a run");
  command->add_option("--config", arguments->config, "TOML file of settings")->check(file_name());
  command->add_option("--set", arguments->assignments, "one setting, as key=value; may be given again")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command->add_option("--out", arguments->out, "folder of the run")
      ->capture_default_str()
      ->check(file_name());
  command->add_option("--seed", arguments->seed, "the same as --set train.seed=N")->check(whole_number(0));
  command
      ->add_option("--init", arguments->init,
                   "run whose weights a new run starts from, where names and shapes match")
      ->check(file_name());
  command->add_flag("--resume", arguments->resume,
                    "go on from the latest checkpoint of the run; --set train.steps=N for longer");
  command->add_option("--stop-at", arguments->stop_at, "checkpoint and leave after this step; 0: the last")
      ->check(whole_number(0));
  command
      ->add_option("--record", arguments->record,
                   "keep the first N batches and losses for bench/peers/replay.py")
      ->check(whole_number(0));
  command
      ->add_option(
          "--profile", arguments->profile,
          fmt::format("after {} steps to warm up, time every operation for this many (20 where no number "
                      "is given), print a table and leave with a checkpoint, as --stop-at does",
                      kProfileWarmUp))
      ->expected(0, 1)
      ->default_str("20")
      ->check(whole_number(1));
  command->add_flag("--json", arguments->json, "report in JSON");
  command
      ->add_flag("--print-config", arguments->print_config,
                 "print every setting with its explanation, and leave")
      ->excludes("--resume")
      ->excludes("--json");
  add_threads_option(*command);
  add_device_option(*command, arguments->device);
  command->add_flag(
      "--graphs", arguments->graphs,
      fmt::format("on cuda and simt: capture the step for each shape of a batch as a graph; rows of "
                  "texts are rounded up to multiples of {}",
                  kRowMultiple));
  command->callback([arguments, &status] { status = train(*arguments); });
}

}  // namespace haze
