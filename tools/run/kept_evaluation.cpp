#include "haze/tools/run/kept_evaluation.h"

#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/nn/file_io.h"
#include "haze/nn/nesting.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/tasks/judge.h"

namespace haze {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

fs::path file_of(const fs::path& run_folder, const std::string& key) {
  return run_folder / fmt::format("evaluation-{:08x}.json", crc32(key.data(), key.size()));
}

/// The file that a row is evaluated on; empty for data that the settings make.
fs::path data_of(const CompareRow& row) {
  if (!row.data.empty()) return row.data;
  const bool has_files = row.training.has("data.train") && !row.training.text("data.train").empty();
  return has_files ? data_file(row.training, "", Part::test) : fs::path();
}

bool bears_on_evaluation(const Setting& setting) {
  return is_of_evaluation(setting.key) || setting.key == "data.format" || setting.key == "data.too_long" ||
         setting.key == "data.max_line_bytes";
}

Json json_of(const Measure& measure) {
  Json json{{"name", measure.name},
            {"label", measure.label},
            {"value", measure.value},
            {"unit", measure.unit},
            {"decimals", measure.decimals}};
  if (measure.error) json["error"] = *measure.error;
  return json;
}

/// JSON has null for a number that is not finite.
double number_of(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

Measure measure_of(const Json& json) {
  Measure measure;
  measure.name = json.at("name").get<std::string>();
  measure.label = json.at("label").get<std::string>();
  measure.value = number_of(json.at("value"));
  measure.unit = json.at("unit").get<std::string>();
  measure.decimals = json.at("decimals").get<int>();
  if (json.contains("error")) measure.error = number_of(json.at("error"));
  return measure;
}

}  // namespace

std::string evaluation_key(const CompareEvaluation& options, const CompareRow& row, int64_t step) {
  Json key{{"step", step},
           {"examples", options.examples},
           {"passes", options.passes},
           {"samples", options.samples ? Json(*options.samples) : Json("default")},
           {"seed", options.seed}};
  const fs::path data = data_of(row);
  key["data"] = data.empty() ? "" : fmt::format("{}, {}", data.string(), fingerprint_of(data));
  for (const Setting& setting : row.evaluation.table()) {
    if (bears_on_evaluation(setting)) key[setting.key] = print_value(row.evaluation.value(setting.key));
  }
  for (const std::string& run : model_row(row.evaluation.text("model")).info.frozen) {
    if (!is_of_sampling(run)) continue;  // the others belong to the checkpoint
    const std::string& folder = row.evaluation.text(run);
    if (!folder.empty()) key[run] = fingerprint_of(checkpoint_in(folder) / "model.safetensors");
  }
  const fs::path judge = judge_folder(row.evaluation);
  if (fs::is_directory(judge)) key["judge"] = fingerprint_of(checkpoint_in(judge) / "model.safetensors");
  if (row.evaluation.has("control.judge")) {
    const fs::path control_judge = row.evaluation.text("control.judge");
    if (fs::is_directory(control_judge))
      key["control judge"] = fingerprint_of(checkpoint_in(control_judge) / "model.safetensors");
  }
  return key.dump(-1, ' ', false, Json::error_handler_t::replace);
}

SavedModel load_row(const fs::path& run_folder, const CompareRow& row) {
  return load_model(run_folder, [&](Settings& settings) {
    for (const Setting& setting : settings.table()) {
      if (bears_on_evaluation(setting)) settings.set(setting.key, row.evaluation.value(setting.key));
    }
  });
}

KeptEvaluation evaluate_row(const fs::path& run_folder, const CompareEvaluation& options,
                            const CompareRow& row, const WorkProgress& observer) {
  const SavedModel saved = load_row(run_folder, row);
  RunEvaluationOptions evaluation;
  evaluation.bound.passes = options.passes;
  evaluation.bound.seed = options.seed;
  evaluation.bound.progress = observer;
  evaluation.file = row.data;
  evaluation.examples = options.examples;
  evaluation.samples = options.samples;
  return {evaluate_run(saved, evaluation), saved.model->parameter_count()};
}

void keep_evaluation(const fs::path& run_folder, const std::string& key, const KeptEvaluation& evaluation) {
  Json measures = Json::array();
  for (const Measure& measure : evaluation.report.measures) measures.push_back(json_of(measure));
  const Json json{{"key", key},
                  {"subject", evaluation.report.subject},
                  {"measures", measures},
                  {"notes", evaluation.report.notes},
                  {"parameters", evaluation.parameters}};
  write_file_atomically(file_of(run_folder, key),
                        json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<KeptEvaluation> find_evaluation(const fs::path& run_folder, const std::string& key) {
  const fs::path path = file_of(run_folder, key);
  if (!fs::exists(path)) return {};
  const std::string text = read_whole_file(path);
  require_shallow(text, path.string());
  try {
    const Json json = Json::parse(text);
    if (json.at("key") != key) return {};
    KeptEvaluation evaluation;
    evaluation.report.subject = json.at("subject").get<std::string>();
    for (const Json& measure : json.at("measures")) evaluation.report.measures.push_back(measure_of(measure));
    evaluation.report.notes = json.at("notes").get<std::vector<std::string>>();
    evaluation.parameters = json.at("parameters").get<int64_t>();
    return evaluation;
  } catch (const Json::exception&) {
    fail("{}: this is no whole evaluation; remove it, and it is made anew", path.string());
  }
}

}  // namespace haze
