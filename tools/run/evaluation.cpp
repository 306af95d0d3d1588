#include "haze/tools/run/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "haze/tools/run/models.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

constexpr const char* kWork = "evaluating";

std::string label_of(LikelihoodKind kind) {
  switch (kind) {
    case LikelihoodKind::exact:
      return "-log likelihood";
    case LikelihoodKind::estimate:
      return "-log likelihood, estimated";
    case LikelihoodKind::bound:
      return "variational bound";
  }
  fail("label_of: unknown kind of likelihood");
}

void report_bound(const BoundEstimate& bound, const Model& model, const Task& task, Report& report) {
  const std::string unit = task.unit(), nats = "nats per " + unit, bits = "bits per " + unit;
  const bool exact = model.likelihood()->is_exact();
  const std::string label = label_of(model.likelihood()->kind());
  const bool given_length = model.sampler() && model.sampler()->uses().length;
  const auto error = [&](double scale) -> std::optional<double> {
    return exact ? std::nullopt : std::optional(scale * bound.error_per_unit());
  };
  report.measures.push_back({"nats_per_" + unit, label + (given_length ? ", given the length" : ""),
                             bound.nats_per_unit(), error(1), nats});
  report.measures.push_back({"bits_per_" + unit, "", bound.bits_per_unit(), error(1 / std::log(2.0)), bits});
  // A density has no perplexity: it is a number of choices.
  if (task.facts().vocabulary == 0) return;
  // It overflows long before the nats do.
  if (std::isfinite(bound.perplexity())) {
    report.measures.push_back(
        {"perplexity", "", bound.perplexity(), error(bound.perplexity()), "perplexity", 2});
  }
}

// Mean and standard error over passes of the mean loss of one objective. The tape is on: a loss may hold a
// gradient, as a gradient penalty does.
void report_loss(const Model& model, size_t objective, const std::string& name,
                 std::span<const Batch> batches, const EvaluationOptions& options, Generator& generator,
                 Report& report) {
  std::vector<double> means;
  for (int pass = 0; pass < options.passes; ++pass) {
    double sum = 0, units = 0;
    for (const Batch& batch : batches) {
      const auto weight = static_cast<double>(model.units(batch));
      const Loss loss =
          model.loss(model.prepare(batch, objective, generator), objective, {.generator = &generator});
      sum += weight * loss.total.value().item();
      units += weight;
    }
    means.push_back(sum / units);
    if (options.progress) options.progress(kWork, pass + 1, options.passes);
  }
  double mean = 0, squares = 0;
  for (const double value : means) mean += value / options.passes;
  for (const double value : means) squares += (value - mean) * (value - mean);
  report.measures.push_back({name, name, mean, std::sqrt(squares / (options.passes - 1) / options.passes)});
}

}  // namespace

Report evaluate_bound(Model& model, const Task& task, const Examples& examples,
                      std::span<const int64_t> indices, const EvaluationOptions& options) {
  Report report;
  Generator generator(options.seed);
  const Likelihood* likelihood = model.likelihood();
  const bool is_costly = likelihood && likelihood->is_costly();
  // Small calls, so that the work can be watched and broken off.
  constexpr int64_t kCostlyRows = 1024;
  std::vector<Batch> batches =
      is_costly ? batches_of(examples, indices, kCostlyRows) : batches_of(examples, indices);
  for (Batch& batch : batches) batch = batch.to(model.device());
  if (likelihood && !(is_costly && options.in_training)) {
    EstimateOptions estimate{.passes = options.passes, .every_term = options.every_term};
    if (options.progress)
      estimate.observer = [&](int64_t done, int64_t calls) { options.progress(kWork, done, calls); };
    report_bound(estimate_bound(*likelihood, batches, estimate, generator), model, task, report);
  } else {
    const std::vector<Objective> objectives = model.objectives();
    for (size_t i = 0; i < objectives.size(); ++i) {
      const std::string name = objectives.size() == 1 ? "loss" : "loss_" + objectives[i].name;
      report_loss(model, i, name, batches, options, generator, report);
    }
  }
  int64_t units = 0;
  for (const Batch& batch : batches) units += batch.units();
  report.measures.push_back({task.unit() + "s", task.unit() + "s", static_cast<double>(units), {}, "", 0});
  report.measures.push_back(
      {task.example() + "s", task.example() + "s", static_cast<double>(indices.size()), {}, "", 0});
  const Measure& first = report.measures.front();
  if (!std::isfinite(first.value))
    fail("{} is {}: the weights or the data are not what they should be", first.name, first.value);
  return report;
}

bool can_be_best(Model& model) {
  return model.likelihood() || model.objectives().size() == 1;
}

std::vector<Measure> leading_measures(Model& model, const Report& report) {
  const size_t count = model.likelihood() ? 1 : model.objectives().size();
  return {report.measures.begin(), report.measures.begin() + static_cast<std::ptrdiff_t>(count)};
}

bool is_of_evaluation(std::string_view key) {
  return is_of_sampling(key) || key == "data.judge" || key.starts_with("control.");
}

void set_for_evaluation(const std::vector<std::string>& assignments, bool own_file, Settings& settings,
                        std::string_view setter, std::string_view file_option) {
  constexpr std::array<std::string_view, 3> kReading = {"data.format", "data.too_long",
                                                        "data.max_line_bytes"};
  for (const std::string& assignment : assignments) {
    const std::string_view key = trim(std::string_view(assignment).substr(0, assignment.find('=')));
    const bool reads = std::find(kReading.begin(), kReading.end(), key) != kReading.end();
    if (!reads && !is_of_evaluation(key)) {
      fail(
          "--set {}: a trained model is what it is: of the file of {}, {} can change {}, {} and {}, and of "
          "the "
          "model the settings of [sample]",
          assignment, file_option, setter, kReading[0], kReading[1], kReading[2]);
    }
    if (reads && !own_file)
      fail("--set {} says how to read the file of {}, and there is none", assignment, file_option);
    settings.override_with(assignment);
  }
  for (const std::string& assignment : assignments) {
    const std::string key(trim(std::string_view(assignment).substr(0, assignment.find('='))));
    require_matters(settings, key, "--set " + key);
  }
}

Report evaluate_run(const SavedModel& saved, const RunEvaluationOptions& options) {
  const Task& task = *saved.task;
  const bool own_data = options.file.empty();
  const std::unique_ptr<Examples> examples =
      own_data ? task.examples(saved.settings, Part::test) : task.examples_of(saved.settings, options.file);
  const std::vector<int64_t> indices = spread_indices(examples->size(), options.examples);
  Report report = evaluate_bound(*saved.model, task, *examples, indices, options.bound);
  report.subject = own_data ? task.origin(saved.settings, Part::test) : options.file.string();
  const WorkProgress ignore = [](const std::string&, int64_t, int64_t) {};
  task.measure({.model = *saved.model,
                .settings = saved.settings,
                .examples = *examples,
                .indices = indices,
                .file = report.subject,
                .own_data = own_data,
                .samples = options.samples.value_or(task.default_samples()),
                .seed = options.bound.seed,
                .observer = options.bound.progress ? options.bound.progress : ignore},
               report);
  return report;
}

}  // namespace haze
