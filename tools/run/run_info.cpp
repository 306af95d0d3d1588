#include "haze/tools/run/run_info.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/nn/checkpoint.h"
#include "haze/nn/file_io.h"
#include "haze/tools/run/metrics.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/progress.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/training_settings.h"
#include "haze/tools/tasks/text_task.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

// The defaults of a run's model, with "auto" replaced where that needs no data.
Settings defaults_of(const std::string& model) {
  Settings defaults = settings_from({}, {"model=" + model});
  try {
    resolve_training_settings(defaults);
  } catch (const Error&) {
    // Some models have no defaults that make a run, such as those that stand on another.
  }
  return defaults;
}

std::vector<ChangedSetting> changed_settings(const Settings& settings) {
  const Settings defaults = defaults_of(settings.text("model"));
  std::vector<ChangedSetting> changed;
  for (const Setting& row : settings.table()) {
    if (row.key == "model" || settings.value(row.key) == defaults.value(row.key)) continue;
    changed.push_back({row.key, print_value(settings.value(row.key)), print_value(defaults.value(row.key))});
  }
  return changed;
}

std::optional<TrainingTexts> training_texts(const Task& task) {
  const auto* texts = dynamic_cast<const TextTask*>(&task);
  if (!texts) return {};
  const std::vector<int64_t>& counts = texts->lengths().counts();
  TrainingTexts result{.example = task.example(),
                       .token_kind = texts->tokenizer().kind(),
                       .token_units = std::string(texts->tokenizer().units()),
                       .vocabulary = texts->tokenizer().learned_size()};
  for (int64_t length = 1; length < std::ssize(counts); ++length) {
    const int64_t count = counts[static_cast<size_t>(length)];
    result.texts += count;
    result.tokens += count * length;
    if (count > 0 && result.shortest == 0) result.shortest = length;
    if (count > 0) result.longest = length;
  }
  return result;
}

// The name of the measure that an evaluation of a step was compared by.
std::string measure_at(const fs::path& metrics, int64_t step) {
  if (!fs::exists(metrics)) return "";
  for (const MetricsRow& row : read_metrics(metrics)) {
    if (row.step != step) continue;
    for (const auto& [name, value] : row.values) {
      if (name.starts_with(kValidation)) return name;
    }
  }
  return "";
}

// The most frequent word of letters in a run's texts, with a capital if there is one; none where there is no
// such word. A shell and `haze infill` take letters as they are.
std::optional<std::string> frequent_token(const TextTask& task) {
  const auto is_letter = [](unsigned char c) { return c < 0x80 && std::isalpha(c); };
  std::optional<std::string> first;
  for (int32_t id = Tokenizer::kUnknown + 1; id < task.tokenizer().vocabulary_size(); ++id) {
    const std::string token(task.tokenizer().shown(id));
    if (token.empty() || !std::all_of(token.begin(), token.end(), is_letter)) continue;
    if (std::isupper(static_cast<unsigned char>(token.front()))) return token;
    if (!first) first = token;
  }
  return first;
}

// A word of a shell's command line: in quotes where it holds anything but letters, digits and _ . / - + : , @
std::string shell_word(const std::string& word) {
  const auto is_plain = [](unsigned char c) {
    return c >= 0x80 || std::isalnum(c) ||
           std::string_view("_./-+:,@").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + '\'';
}

using Commands = std::vector<std::pair<std::string, std::string>>;

void add_text_commands(const RunInfo& info, const TextTask& task, const Uses& uses, Commands& commands) {
  const std::string run = shell_word(info.run);
  if (uses.source) {
    commands.emplace_back("answer a source", fmt::format("haze sample {} --source \"...\"", run));
    return;
  }
  const std::optional<std::string> word = frequent_token(task);
  commands.emplace_back("write texts", fmt::format("haze sample {}", run));
  if (word && (uses.prompt || uses.gaps))
    commands.emplace_back("go on from a beginning",
                          fmt::format("haze sample {} --prompt \"{}\"", run, *word));
  if (word && uses.gaps)
    commands.emplace_back("fill gaps", fmt::format("haze infill {} \"{} _*\"", run, *word));
  if (uses.length || uses.gaps)
    commands.emplace_back("write texts of a length", fmt::format("haze sample {} --length 8", run));
}

Commands commands_of(const RunInfo& info, const SavedModel& saved) {
  Commands commands;
  const std::string run = shell_word(info.run);
  const auto* task = dynamic_cast<const TextTask*>(saved.task.get());
  if (const Sampler* sampler = saved.model->sampler()) {
    const Uses uses = sampler->uses();
    if (task) add_text_commands(info, *task, uses, commands);
    if (!task) commands.emplace_back("draw samples", fmt::format("haze sample {} --png samples.png", run));
    if (saved.settings.has("sample.classifier"))
      commands.emplace_back("be led by a classifier",
                            fmt::format("haze help {} {}", task && !uses.source ? "control" : "sample", run));
  }
  if (saved.model->token_classifier())
    commands.emplace_back("tag words", fmt::format("haze tag {} FILE.txt", run));
  commands.emplace_back("be measured", fmt::format("haze eval {}", run));
  // A run goes on from its latest checkpoint, whichever one is named.
  const fs::path folder = run_of_checkpoint(info.checkpoint);
  if (!info.latest.empty() && step_of_checkpoint(folder / info.latest) < info.last_step) {
    const bool is_run = fs::exists(fs::path(info.run) / info.latest);
    commands.emplace_back("go on training", fmt::format("haze train --out {} --resume",
                                                        is_run ? run : shell_word(folder.string())));
  }
  return commands;
}

std::vector<std::string> checkpoints_in(const fs::path& run) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && entry.is_directory()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

RunInfo run_info(const fs::path& folder) {
  const SavedModel saved = load_model(folder, {}, Purpose::training);
  RunInfo info{.run = folder.string()};
  info.model = saved.settings.text("model");
  info.paper = model_row(info.model).info.paper;
  info.task = saved.settings.has("data.task") ? saved.settings.text("data.task") : "tensors";
  info.checkpoint = checkpoint_in(folder);
  info.step = step_of_checkpoint(info.checkpoint);
  info.last_step = saved.settings.integer("train.steps");
  info.examples_seen =
      info.step * saved.settings.integer("train.batch_size") * saved.settings.integer("train.accumulate");
  info.parameters = saved.model->parameter_count();
  info.bytes = static_cast<int64_t>(fs::file_size(info.checkpoint / "model.safetensors"));
  info.facts = saved.task->facts();
  info.texts = training_texts(*saved.task);
  const fs::path run = run_of_checkpoint(info.checkpoint);
  info.best = parse_state(read_whole_file(info.checkpoint / "state.toml")).best;
  if (info.best) info.best_measure = measure_at(run / "metrics.jsonl", info.best->step);
  info.settings = changed_settings(saved.settings);
  info.checkpoints = checkpoints_in(run);
  if (const auto latest = find_latest_checkpoint(run)) info.latest = latest->filename().string();
  if (const auto best = find_best_checkpoint(run)) info.best_checkpoint = best->filename().string();
  info.commands = commands_of(info, saved);
  return info;
}

namespace {

std::string line(std::string_view name, const std::string& value) {
  return fmt::format("  {:<12}{}\n", name, value);
}

std::string data_lines(const RunInfo& info) {
  if (!info.texts) {
    return line("data", fmt::format("{} numbers an example", fmt::join(info.facts.value_shape, " x ")));
  }
  const TrainingTexts& texts = *info.texts;
  const double mean =
      static_cast<double>(texts.tokens) / static_cast<double>(std::max<int64_t>(texts.texts, 1));
  return line(texts.example + "s",
              fmt::format("{} to learn from, {} tokens; {} to {} tokens a {}, {:.1f} on average", texts.texts,
                          texts.tokens, texts.shortest, texts.longest, texts.example, mean)) +
         line("vocabulary", fmt::format("{} {}; at most {} tokens a {}", texts.vocabulary, texts.token_units,
                                        info.facts.max_length, texts.example));
}

std::string checkpoints_line(const RunInfo& info) {
  std::vector<std::string> names;
  for (const std::string& name : info.checkpoints) {
    names.push_back(name + (name == info.best_checkpoint ? " (best)" : "") +
                    (name == info.latest ? " (latest)" : ""));
  }
  return line("checkpoints", fmt::format("{}", fmt::join(names, ", ")));
}

}  // namespace

std::string run_info_text(const RunInfo& info) {
  std::string text = fmt::format("{}: {} ({})\n", info.run, info.model, info.paper);
  text += line("trained", fmt::format("{} of {} steps, {} examples", info.step, info.last_step,
                                      format_count(static_cast<double>(info.examples_seen))));
  text += line("network", fmt::format("{} parameters, {:.2f} MB", info.parameters,
                                      static_cast<double>(info.bytes) / 1e6));
  text += data_lines(info);
  if (info.best) {
    text += line("best",
                 fmt::format("{}{:.4f} at step {}", info.best_measure.empty() ? "" : info.best_measure + " ",
                             info.best->value, info.best->step));
  }
  text += checkpoints_line(info);
  if (!info.settings.empty()) text += "\nSettings that are not the defaults:\n";
  for (const ChangedSetting& setting : info.settings)
    text += fmt::format("  {} = {} (default: {})\n", setting.key, setting.value, setting.default_value);
  text += "\nIt can:\n";
  for (const auto& [words, command] : info.commands) text += fmt::format("  {:<25}{}\n", words, command);
  return text;
}

std::string run_info_json(const RunInfo& info) {
  nlohmann::ordered_json json{{"run", info.run},
                              {"model", info.model},
                              {"paper", info.paper},
                              {"task", info.task},
                              {"checkpoint", info.checkpoint.string()},
                              {"step", info.step},
                              {"last_step", info.last_step},
                              {"examples_seen", info.examples_seen},
                              {"parameters", info.parameters},
                              {"bytes", info.bytes}};
  if (info.texts) {
    json["vocabulary"] = info.texts->vocabulary;
    json["max_length"] = info.facts.max_length;
    json["texts"] = info.texts->texts;
    json["tokens"] = info.texts->tokens;
    json["shortest"] = info.texts->shortest;
    json["longest"] = info.texts->longest;
    json["token_kind"] = info.texts->token_kind;
  } else {
    json["value_shape"] = info.facts.value_shape;
  }
  if (info.best)
    json["best"] = {{"measure", info.best_measure}, {"value", info.best->value}, {"step", info.best->step}};
  json["checkpoints"] = info.checkpoints;
  json["latest"] = info.latest;
  json["best_checkpoint"] = info.best_checkpoint;
  json["settings"] = nlohmann::ordered_json::object();
  for (const ChangedSetting& setting : info.settings) json["settings"][setting.key] = setting.value;
  json["commands"] = nlohmann::ordered_json::object();
  for (const auto& [words, command] : info.commands) json["commands"][words] = command;
  return json.dump();
}

}  // namespace haze
