#include "haze/tools/run/compare_runs.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/nn/checkpoint.h"
#include "haze/nn/file_io.h"
#include "haze/nn/nesting.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/kept_evaluation.h"
#include "haze/tools/run/run_state.h"
#include "haze/tools/run/trainer.h"
#include "haze/tools/run/training_settings.h"
#include "haze/tools/run/work_observer.h"

namespace haze {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kTimeFile = "training_time.json";

Settings training_of(const CompareRow& row, int64_t seed) {
  Settings settings = row.training;
  settings.set("train.seed", seed);
  return settings;
}

/// The key of the first setting of training in which two runs differ; empty where they are the same.
std::string first_difference(const Settings& asked, const Settings& other) {
  for (const Setting& setting : asked.table()) {
    if (is_of_evaluation(setting.key)) continue;
    if (!other.has(setting.key) || other.value(setting.key) != asked.value(setting.key)) return setting.key;
  }
  return "";
}

void require_same(const CompareRow& row, const fs::path& folder, const Settings& asked,
                  const Settings& there) {
  const std::string key = first_difference(asked, there);
  if (key.empty()) return;
  fail(
      "{}: the run in {} has {} = {}, and the row '{}' asks for {}; rename the row or 'runs' to keep that "
      "run, or remove its folder to train it anew",
      row.where, folder.string(), key, there.has(key) ? print_value(there.value(key)) : "nothing", row.name,
      print_value(asked.value(key)));
}

bool holds_checkpoint(const fs::path& folder) {
  return find_latest_checkpoint(folder).has_value();
}

/// The folder of a run: of all rows of the same training, the first one's, unless only that of a later one is
/// there.
fs::path folder_of(const CompareTable& table, size_t index, int64_t seed) {
  const Settings asked = training_of(table.rows[index], seed);
  std::vector<fs::path> folders;
  for (const CompareRow& other : table.rows) {
    const bool has_seed = std::find(other.seeds.begin(), other.seeds.end(), seed) != other.seeds.end();
    if (has_seed && first_difference(asked, training_of(other, seed)).empty())
      folders.push_back(table.runs / run_name(other.name, seed));
  }
  const auto present = std::find_if(folders.begin(), folders.end(), holds_checkpoint);
  return present == folders.end() ? folders.front() : *present;
}

/// Throws Error where a folder without a checkpoint cannot be a new run's.
void require_free(const CompareRow& row, const fs::path& folder, const std::vector<std::string>& damage) {
  if (!damage.empty()) {
    fail("{}: the run in {} has no whole checkpoint ({}); remove its folder to train it anew", row.where,
         folder.string(), damage.front());
  }
  if (!fs::exists(folder)) return;
  if (!fs::is_directory(folder) || (!fs::is_empty(folder) && !fs::exists(folder / "run.lock")))
    fail("{}: {} is not the folder of a run; rename the row or 'runs'", row.where, folder.string());
}

int64_t steps_of(const CompareRow& row) {
  return row.training.integer("train.steps");
}

/// Wall-clock seconds of the sessions that trained a run, and the steps that they did.
struct TrainingTime {
  double seconds = 0;
  int64_t steps = 0;
};

TrainingTime read_time(const fs::path& folder) {
  const fs::path path = folder / kTimeFile;
  if (!fs::exists(path)) return {};
  const std::string text = read_whole_file(path);
  require_shallow(text, path.string());
  try {
    const Json json = Json::parse(text);
    return {json.at("seconds").get<double>(), json.at("steps").get<int64_t>()};
  } catch (const Json::exception&) {
    fail("{}: this is no record of training time; remove it", path.string());
  }
}

void add_time(const fs::path& folder, double seconds, int64_t steps) {
  const TrainingTime before = read_time(folder);
  const Json json{{"seconds", before.seconds + seconds}, {"steps", before.steps + steps}};
  write_file_atomically(folder / kTimeFile, json.dump() + "\n");
}

std::vector<Measure> costs_of(const CompareRow& row, const CompareRun& run, int64_t parameters) {
  const auto count = [](std::string name, std::string label, double value) {
    return Measure{std::move(name), std::move(label), value, {}, "", 0};
  };
  const int64_t steps = steps_of(row);
  const auto examples = static_cast<double>(steps) *
                        static_cast<double>(row.training.integer("train.batch_size")) *
                        static_cast<double>(row.training.integer("train.accumulate"));
  std::vector<Measure> costs{count("parameters", "parameters", static_cast<double>(parameters)),
                             count("steps", "training steps", static_cast<double>(steps)),
                             count("examples_seen", "examples seen in training", examples)};
  const TrainingTime time = read_time(run.folder);
  if (time.steps == steps)
    costs.push_back({"training_seconds", "training, wall-clock", time.seconds, {}, "s", 1});
  return costs;
}

/// Looks at what of a run is on the disk.
void inspect(const CompareTable& table, CompareRun& run) {
  const CompareRow& row = table.rows[run.row];
  std::vector<std::string> damage;
  const auto checkpoint = find_latest_checkpoint(run.folder, &damage);
  if (!checkpoint) return require_free(row, run.folder, damage);
  const fs::path configuration = *checkpoint / "config.toml";
  require_same(row, run.folder, training_of(row, run.seed),
               read_run_configuration(read_whole_file(configuration), configuration.string()));
  run.step = step_of_checkpoint(*checkpoint);
  run.finished =
      run.step == steps_of(row) && !parse_state(read_whole_file(*checkpoint / "state.toml")).evaluation_due;
  if (!run.finished) return;
  const std::string key = evaluation_key(evaluation_of(table, run.seed), row, run.step);
  if (const auto kept = find_evaluation(run.folder, key)) {
    run.report = kept->report;
    run.costs = costs_of(row, run, kept->parameters);
  }
}

void train(const CompareRow& row, const CompareRun& run, const ProgressOutput& progress) {
  TrainOptions options;
  options.run_folder = run.folder;
  options.progress = progress;
  // A run that Ctrl-C met before its first step has a checkpoint of step 0.
  const std::unique_ptr<Trainer> trainer = holds_checkpoint(run.folder)
                                               ? Trainer::resume(options)
                                               : Trainer::start(training_of(row, run.seed), options);
  const double start = progress.now();
  const TrainResult result = trainer->run();
  add_time(run.folder, progress.now() - start, result.step - run.step);
  if (result.interrupted_by != 0) throw Interrupted(result.interrupted_by);
}

void evaluate(const CompareTable& table, const CompareRun& run, const ProgressOutput& progress) {
  const CompareRow& row = table.rows[run.row];
  const InterruptGuard interrupt;
  std::optional<WorkObserver> work;
  std::string label;
  const auto observer = [&](const std::string& what, int64_t done, int64_t all) {
    if (what != label) work.emplace(label = what, interrupt, progress);
    work->update(done, all);
  };
  const CompareEvaluation options = evaluation_of(table, run.seed);
  keep_evaluation(run.folder, evaluation_key(options, row, run.step),
                  evaluate_row(run.folder, options, row, observer));
}

/// "run 2 of 6: small, seed 1".
std::string title_of(const CompareTable& table, const std::vector<CompareRun>& runs, size_t index) {
  const CompareRun& run = runs[index];
  return fmt::format("run {} of {}: {}, seed {}", index + 1, runs.size(), table.rows[run.row].name, run.seed);
}

std::string describe(const CompareTable& table, const CompareRun& run) {
  const int64_t steps = steps_of(table.rows[run.row]);
  if (run.finished) return run.report ? "done" : "to be evaluated";
  if (run.step == 0) return fmt::format("to be trained, {} steps", steps);
  return fmt::format("to be trained on from step {} of {}", run.step, steps);
}

}  // namespace

const Measure* CompareRun::find(std::string_view name) const {
  if (const Measure* measure = report ? report->find(name) : nullptr) return measure;
  const auto found =
      std::find_if(costs.begin(), costs.end(), [&](const Measure& measure) { return measure.name == name; });
  return found == costs.end() ? nullptr : &*found;
}

std::vector<std::string> cost_names() {
  return {"parameters", "steps", "examples_seen", "training_seconds"};
}

void check_columns(const CompareTable& table) {
  std::set<std::string> names;
  for (const std::string& name : cost_names()) names.insert(name);
  for (const CompareRow& row : table.rows) {
    for (const std::string& name : task_measure_names(row.training.text("data.task"))) names.insert(name);
  }
  for (const CompareColumn& column : table.columns) {
    if (column.measure.starts_with("loss") || names.contains(column.measure)) continue;
    const std::string nearest = nearest_name({names.begin(), names.end()}, column.measure);
    if (!nearest.empty())
      fail("{}: there is no measure '{}'; did you mean '{}'?", column.where, column.measure, nearest);
    fail("{}: there is no measure '{}'; there are {}", column.where, column.measure, fmt::join(names, ", "));
  }
}

std::vector<CompareRun> find_runs(const CompareTable& table) {
  if (fs::exists(table.runs) && !fs::is_directory(table.runs))
    fail("{} is no folder that runs could be in", table.runs.string());
  std::vector<CompareRun> runs;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (const int64_t seed : table.rows[row].seeds) {
      CompareRun& run = runs.emplace_back();
      run.row = row;
      run.seed = seed;
      run.folder = folder_of(table, row, seed);
      inspect(table, run);
    }
  }
  return runs;
}

void complete_runs(const CompareTable& table, std::vector<CompareRun>& runs, const ProgressOutput& progress) {
  for (size_t i = 0; i < runs.size(); ++i) {
    CompareRun& run = runs[i];
    if (run.report) continue;
    inspect(table, run);  // again: a row before may have trained it
    if (!run.finished) {
      progress.write(fmt::format("{}: training in {}\n", title_of(table, runs, i), run.folder.string()));
      train(table.rows[run.row], run, progress);
      inspect(table, run);
    }
    if (run.report) continue;
    progress.write(fmt::format("{}: evaluating\n", title_of(table, runs, i)));
    evaluate(table, run, progress);
    inspect(table, run);
  }
}

std::string describe_plan(const CompareTable& table, const std::vector<CompareRun>& runs) {
  std::string plan;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto end = runs.begin() + static_cast<std::ptrdiff_t>(i);
    const auto earlier = std::find_if(runs.begin(), end, [&](const CompareRun& run) {
      return !runs[i].finished && run.folder == runs[i].folder;
    });
    const std::string what = earlier == end ? describe(table, runs[i])
                                            : fmt::format("to be evaluated; it shares the run of {}",
                                                          table.rows[earlier->row].name);
    plan += fmt::format("{}: {} ({})\n", title_of(table, runs, i), what, runs[i].folder.string());
  }
  return plan;
}

}  // namespace haze
