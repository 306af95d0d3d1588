#include "haze/tools/run/training_settings.h"

#include <algorithm>

#include "haze/engine/cpu/machine.h"
#include "haze/engine/error.h"
#include "haze/tools/run/configuration.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/version.h"
#include "haze/tools/tasks/control_measures.h"
#include "haze/tools/tasks/tensor_data.h"
#include "haze/tools/tasks/text_annotations.h"
#include "haze/tools/text/text_file.h"

namespace haze {
namespace {

// The most of what is counted in 32 bits somewhere below, steps of a process or tokens and rows of a batch:
// far more than anybody needs, and far from where counting goes wrong.
constexpr double kMost = 1 << 20;

bool learns(const ModelInfo& model, std::string_view task) {
  return std::find(model.tasks.begin(), model.tasks.end(), task) != model.tasks.end();
}

SettingsTable model_choice(const ModelInfo& model) {
  std::vector<std::string> names;
  for (const ModelRow& row : model_table()) names.push_back(row.info.name);
  return {choice_setting("model", model.name, names, "what is trained; haze models tells more"),
          integer_setting("settings_version", kSettingsVersion, between(kSettingsVersion, kSettingsVersion),
                          "of the names and meanings below")};
}

SettingsTable text_settings(const ModelInfo& model) {
  return {
      choice_setting("data.task", model.tasks.front(), model.tasks, "what is learnt from the files"),
      text_setting("data.train", "", "file to train on; empty: the built-in corpus"),
      text_setting(
          "data.valid", "",
          "file to evaluate on; empty: every tenth text of data.train, or the last tenth of a raw one, "
          "which is not trained on, or held-out sentences of the built-in corpus"),
      text_setting("data.test", "", "file that haze eval takes; empty: data.valid, or the corpus's own"),
      choice_setting("data.format", "e2e", {"e2e", "lines", "jsonl", "raw"}, "what the files hold"),
      choice_setting("data.layout", "padded", {"padded", "packed"},
                     "one text a row, or texts end to end in full rows, as always of raw files"),
      choice_setting("data.tokenizer", "word", {"word", "character", "word-punctuation"},
                     "what a token is; words are what blanks separate"),
      integer_setting("data.min_count", 0, at_least(0),
                      "rarer tokens become the unknown one; 0: the most up to 10 that leaves 5% unknown, and "
                      "1 for characters and the built-in corpus"),
      integer_setting("data.max_length", 64, between(2, kMost), "tokens in a row, the end token counted"),
      integer_setting("data.max_source_length", 64, between(1, kMost), "tokens of a source, in pairs"),
      text_setting("data.label", "",
                   "field of an E2E line that is the label, such as food, in labelled; *: every field of a "
                   "text is one"),
      choice_setting("data.too_long", "error", {"error", "truncate", "skip"},
                     "what to do with a longer text"),
      integer_setting("data.max_line_bytes", 1 << 20, between(1, 2147483646),
                      "longer lines are refused, but for raw"),
      integer_setting("data.corpus_size", 50000, at_least(100), "sentences of the built-in corpus"),
  };
}

SettingsTable optimizer_settings() {
  return {
      choice_setting("optimizer.kind", "adamw", {"adamw", "adagrad", "sgd"}, "update rule"),
      real_setting("optimizer.learning_rate", 1e-3, above(0), "highest learning rate, after warm-up"),
      only_with(real_setting("optimizer.beta1", 0.9, from_to_below(0, 1), "AdamW's memory of the gradient"),
                "optimizer.kind", {"adamw"}),
      only_with(real_setting("optimizer.beta2", 0.999, from_to_below(0, 1), "AdamW's memory of its square"),
                "optimizer.kind", {"adamw"}),
      real_setting("optimizer.epsilon", 1e-8, above(0), "added to the denominator of AdamW and Adagrad"),
      real_setting("optimizer.weight_decay", 0.01, at_least(0), "decoupled decay, times the learning rate"),
      only_with(real_setting("optimizer.momentum", 0.9, from_to_below(0, 1), "momentum of SGD"),
                "optimizer.kind", {"sgd"}),
      real_setting("optimizer.clip_norm", 1.0, at_least(0),
                   "largest norm of the whole gradient; 0: unlimited"),
      integer_setting("optimizer.warmup_steps", 200, at_least(0),
                      "steps in which the learning rate rises from 0"),
      choice_setting("optimizer.schedule", "cosine", {"cosine", "linear", "constant"},
                     "learning rate after warm-up"),
      real_setting("optimizer.final_fraction", 0.0, between(0, 1),
                   "learning rate at the end, as a fraction of the highest"),
      text_setting(
          "optimizer.groups", "",
          "parameters with a rate or decay of their own: \"head: rate 0.1, decay 0; blocks.0: frozen\""),
      real_setting("optimizer.ema", 0.0, from_to_below(0, 1), "decay of the averaged weights; 0: no average"),
  };
}

SettingsTable train_settings() {
  return {
      integer_setting("train.steps", 2000, at_least(1), "updates of the weights"),
      integer_setting("train.batch_size", 64, between(1, kMost), "examples in a batch"),
      integer_setting("train.accumulate", 1, between(1, kMost), "batches whose gradients make one update"),
      integer_setting("train.seed", 1, at_least(0), "of every random number of the run"),
      integer_setting("train.checkpoint_every", 500, at_least(1), "steps between checkpoints"),
      integer_setting("train.evaluate_every", 500, at_least(1), "steps between evaluations"),
      integer_setting("train.evaluate_examples", 1000, at_least(1), "examples that an evaluation takes"),
      integer_setting("train.evaluate_passes", 5, between(kFewestPasses, kMost),
                      "independent estimates of the bound in an evaluation, for its error"),
      integer_setting("train.log_every", 10, at_least(1), "steps between lines of metrics.jsonl"),
      choice_setting("train.precision", "float32", {"float32", "bfloat16", "auto"},
                     "of matrix products in training, the rest stays in float32; auto: bfloat16 where the "
                     "processor has it"),
      boolean_setting("train.detect_nonfinite", false,
                      "name the operation that first gives NaN or infinity; slower"),
  };
}

SettingsTable sample_settings(const ModelInfo& model) {
  SettingsTable table;
  for (const Setting& setting : model.settings) {
    if (setting.section() == "sample") table.push_back(setting);
  }
  table.push_back(choice_setting("sample.precision", "float32", {"float32", "bfloat16"},
                                 "of matrix products in sampling"));
  if (!learns(model, "tensors"))
    table.push_back(boolean_setting("sample.special_tokens", false, "let texts hold <pad> and <unk>"));
  table.push_back(integer_setting("sample.count", 8, at_least(1), "samples to draw"));
  return table;
}

// Whether the model has a sampler of its own.
bool samples(const ModelInfo& model) {
  return std::any_of(model.settings.begin(), model.settings.end(),
                     [](const Setting& setting) { return setting.section() == "sample"; });
}

void append(SettingsTable& table, const SettingsTable& rows, std::string_view without = "") {
  for (const Setting& row : rows) {
    if (without.empty() || row.section() != without) table.push_back(row);
  }
}

// The largest cut-off that leaves few tokens of the training file unknown.
int64_t min_count_of_file(const Settings& settings) {
  constexpr int64_t kMostCount = 10;
  constexpr double kUnknownShare = 0.05;
  try {
    const TextFile file(settings.text("data.train"), text_file_options(settings, Part::train));
    return count_tokens(tokenizer_kind(settings.text("data.tokenizer")), file,
                        settings.text("data.task") == "pairs")
        .largest_min_count(kMostCount, kUnknownShare);
  } catch (const Error&) {
    return kMostCount;  // the run says what is wrong with its file, when it comes to read it
  }
}

void resolve_min_count(Settings& settings) {
  if (settings.integer("data.min_count") > 0) return;
  // The built-in corpus's entropy is that of all its words: a model is held against it only if it knows them.
  const bool all = settings.text("data.train").empty() || settings.text("data.tokenizer") == "character";
  settings.set("data.min_count", all ? 1 : min_count_of_file(settings));
}

// A raw text is one row of any length: only blocks of it fit a network.
void resolve_layout(Settings& settings) {
  if (settings.text("data.format") == "raw") settings.set("data.layout", std::string("packed"));
}

void check_text_data(const Settings& settings) {
  const bool built_in = settings.text("data.train").empty();
  const std::string& task = settings.text("data.task");
  if (built_in && !settings.text("data.valid").empty())
    fail(
        "data.valid is for files of one's own, and data.train is missing; without both there is the built-in "
        "corpus");
  if (!built_in && settings.text("data.valid").empty() && (task == "tagged" || task == "parsed"))
    fail("data.task {} needs data.valid, since what stands beside a text is in a file of its own", task);
  if (built_in && settings.text("data.format") != "e2e") {
    fail("data.format {} is for files of one's own; the built-in corpus is e2e",
         settings.text("data.format"));
  }
  if (built_in && !settings.text("data.test").empty())
    fail("data.test is for files of one's own; the built-in corpus has its own test part");
  if (task != "texts" && settings.text("data.format") == "raw")
    fail("data.format raw is one text: it is for data.task texts, not {}", task);
  if (settings.text("data.format") == "raw" && settings.text("data.tokenizer") == "word")
    fail(
        "data.format raw keeps line ends, which data.tokenizer word does not; word-punctuation and character "
        "do");
  if (task == "pairs" && settings.text("data.format") == "lines")
    fail("data.task pairs needs sources, which data.format lines does not have; e2e and jsonl do");
  if (task != "texts" && settings.text("data.layout") == "packed")
    fail("data.layout packed is for data.task texts, not {}", task);
  if (annotation_of_task(task) != Annotation::none && settings.text("data.tokenizer") != "word")
    fail("data.task {} takes words as tokens: data.tokenizer must be word", task);
  if ((task == "labelled") == settings.text("data.label").empty())
    fail(
        "data.task labelled and data.label go together: the one says that labels are learnt, the other "
        "which");
}

// The model that a configuration and assignments name.
std::string chosen_model(const std::vector<ConfigurationEntry>& entries,
                         const std::vector<std::string>& assignments) {
  std::string name = model_table().front().info.name;
  for (const ConfigurationEntry& entry : entries) {
    if (entry.key != "model" || entry.is_section) continue;
    const auto* text = entry.value ? std::get_if<std::string>(&*entry.value) : nullptr;
    if (!text) fail("{}: 'model' takes a model's name, not {}", entry.where, entry.shown);
    name = *text;
    model_row(name, entry.where + ": ");
  }
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos || assignment.substr(0, equals) != "model") continue;
    name = assignment.substr(equals + 1);
    model_row(name, "--set " + assignment + ": ");
  }
  return name;
}

// What version 1 did where version 2 has a setting; but its evaluations took two passes, whose errors were
// too small. A run that goes on also follows the learning rate of today, which is that of one step later.
NamedValues added_since_version_1() {
  return {{"settings_version", int64_t{2}}, {"data.task", std::string("texts")},
          {"data.test", std::string()},     {"data.max_source_length", int64_t{64}},
          {"data.label", std::string()},    {"optimizer.groups", std::string()},
          {"train.accumulate", int64_t{1}}, {"train.evaluate_passes", kFewestPasses}};
}

NamedValues values_of(const std::vector<ConfigurationEntry>& entries) {
  NamedValues values;
  for (const ConfigurationEntry& entry : entries) {
    if (entry.is_section) continue;
    if (!entry.value) fail("{}: '{}' is {}, which no setting is", entry.where, entry.key, entry.shown);
    values.emplace_back(entry.key, *entry.value);
  }
  return values;
}

std::vector<ConfigurationEntry> migrated(const std::vector<ConfigurationEntry>& entries,
                                         const std::string& source) {
  NamedValues values = settings_of_version_1(values_of(entries));
  for (auto& [key, value] : added_since_version_1()) values.emplace_back(key, value);
  std::vector<ConfigurationEntry> result;
  for (auto& [key, value] : values)
    result.push_back({key, value, print_value(value), source + ", settings of version 1"});
  return result;
}

const ConfigurationEntry* find_entry(const std::vector<ConfigurationEntry>& entries, std::string_view key) {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

// The version that wrote the entries; the first one did not say it.
int64_t version_of(const std::vector<ConfigurationEntry>& entries, const std::string& source) {
  const ConfigurationEntry* entry = find_entry(entries, "settings_version");
  if (!entry) return 1;
  const auto* version = entry->value ? std::get_if<int64_t>(&*entry->value) : nullptr;
  if (!version || *version < 1 || *version > kSettingsVersion) {
    fail("{}: settings of version {} are not known here, where the version is {}", source, entry->shown,
         kSettingsVersion);
  }
  return *version;
}

// Settings that came after `version` have the value that stands for what was done before. Throws Error where
// another is missing.
void complete(std::vector<ConfigurationEntry>& entries, const SettingsTable& table, int64_t version,
              const std::string& source) {
  for (const Setting& setting : table) {
    if (find_entry(entries, setting.key)) continue;
    if (setting.since <= version) {
      fail("{}: the setting '{}' is missing, and today's default may not be what the run had", source,
           setting.key);
    }
    entries.push_back({setting.key, setting.value_before, print_value(setting.value_before), source});
  }
  for (ConfigurationEntry& entry : entries) {
    if (entry.key == "settings_version") entry.value = kSettingsVersion;
  }
}

}  // namespace

SettingsTable settings_table(const ModelInfo& model) {
  SettingsTable table = model_choice(model);
  append(table, learns(model, "tensors") ? tensor_settings() : text_settings(model));
  append(table, model.settings, "sample");
  append(table, optimizer_settings());
  append(table, train_settings());
  append(table, sample_settings(model));
  if (!learns(model, "tensors") && samples(model)) append(table, control_settings());
  return table;
}

namespace {

bool has_key(const SettingsTable& table, std::string_view key) {
  return std::any_of(table.begin(), table.end(), [&](const Setting& setting) { return setting.key == key; });
}

// Throws Error where a key is none of this model's but one of another's, which the nearest key would hide.
void refuse_key_of_another_model(const SettingsTable& table, const std::string& key, const std::string& where,
                                 const std::string& model) {
  if (has_key(table, key)) return;
  for (const ModelRow& row : model_table()) {
    if (has_key(settings_table(row.info), key))
      fail("{}: '{}' is a setting of the model {}, and the model is {}", where, key, row.info.name, model);
  }
}

void refuse_keys_of_other_models(const std::vector<ConfigurationEntry>& entries,
                                 const std::vector<std::string>& assignments, const SettingsTable& table,
                                 const std::string& model) {
  for (const ConfigurationEntry& entry : entries) {
    if (entry.is_section && (entry.key == "model" || entry.key == "diffusion")) {
      fail(
          "{}: [model] and [diffusion] are sections of an earlier version: the network's is [transformer] "
          "now, "
          "and that of the process has the model's name",
          entry.where);
    }
    if (!entry.is_section) refuse_key_of_another_model(table, entry.key, entry.where, model);
  }
  for (const std::string& assignment : assignments) {
    const std::string key(trim(std::string_view(assignment).substr(0, assignment.find('='))));
    refuse_key_of_another_model(table, key, "--set " + assignment, model);
  }
}

}  // namespace

Settings settings_from(const std::optional<std::filesystem::path>& configuration,
                       const std::vector<std::string>& assignments) {
  std::vector<ConfigurationEntry> entries;
  if (configuration) entries = parse_configuration_file(*configuration);
  const std::string model = chosen_model(entries, assignments);
  Settings settings(settings_table(model_row(model).info));
  refuse_keys_of_other_models(entries, assignments, settings.table(), model);
  apply_configuration(entries, settings);
  for (const std::string& assignment : assignments) settings.override_with(assignment);
  return settings;
}

void resolve_training_settings(Settings& settings) {
  const ModelInfo& model = model_row(settings.text("model")).info;
  if (model.resolve) model.resolve(settings);
  if (learns(model, "tensors")) {
    check_tensor_data(settings);
  } else {
    resolve_layout(settings);
    check_text_data(settings);
    resolve_min_count(settings);
  }
  if (settings.text("train.precision") == "auto")
    settings.set("train.precision", std::string(multiplies_bfloat16() ? "bfloat16" : "float32"));
}

std::string print_run_configuration(const Settings& settings) {
  return fmt::format("# haze {}\n{}", program_version(), print_configuration(settings));
}

Settings read_run_configuration(const std::string& toml, const std::string& source) {
  std::vector<ConfigurationEntry> entries = parse_configuration(toml, source);
  int64_t version = version_of(entries, source);
  if (version == 1) {
    entries = migrated(entries, source);
    version = 2;
  }
  Settings settings(settings_table(model_row(chosen_model(entries, {})).info));
  complete(entries, settings.table(), version, source);
  apply_configuration(entries, settings);
  return settings;
}

Precision precision_called(const std::string& name) {
  if (name == "bfloat16") return Precision::bfloat16;
  if (name != "float32") fail("precision {}: it takes float32 or bfloat16", name);
  return Precision::full;
}

}  // namespace haze
