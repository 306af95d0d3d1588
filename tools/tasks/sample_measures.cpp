#include "haze/tools/tasks/sample_measures.h"

#include <chrono>
#include <optional>

#include "haze/tools/run/sampling.h"
#include "haze/tools/tasks/corpus_floor.h"
#include "haze/tools/tasks/frechet_distance.h"
#include "haze/tools/tasks/judge.h"
#include "haze/tools/tasks/mode_coverage.h"
#include "haze/tools/tasks/nearest_neighbours.h"
#include "haze/tools/tasks/sliced_wasserstein.h"

namespace haze {
namespace {

constexpr int64_t kNeighbours = 3;
constexpr const char* kOfData = "_of_data";
constexpr const char* kInTheirPlace = "  of training examples";

/// What is compared: as many samples as examples of the test and of the training part.
struct Compared {
  Tensor samples, data, training;  // [n, ...]
  Tensor labels;                   // of data; undefined where they have none
};

Compared compared_sets(const Task& task, const TaskEvaluation& evaluation, const Tensor& samples) {
  std::vector<int64_t> chosen;
  for (const int64_t index : spread_indices(std::ssize(evaluation.indices), samples.size(0)))
    chosen.push_back(evaluation.indices[static_cast<size_t>(index)]);
  const Batch data = evaluation.examples.batch(chosen);
  const std::unique_ptr<Examples> training = task.examples(evaluation.settings, Part::train);
  const std::vector<int64_t> learned = spread_indices(training->size(), samples.size(0));
  return {samples, data.values, training->batch(learned).values, data.labels};
}

/// A measure of the samples, and beside it that of training examples.
void add_pair(const std::string& name, const std::string& label, double of_samples, double of_data,
              Report& report) {
  report.measures.push_back({name, label, of_samples});
  report.measures.push_back({name + kOfData, kInTheirPlace, of_data});
}

/// Precision and recall of rows of numbers or of features.
void add_neighbours(const SampleSet& samples, const SampleSet& data, const SampleSet& training,
                    Report& report) {
  if (std::min({samples.count, data.count, training.count}) <= kNeighbours) {
    report.notes.push_back(
        fmt::format("no precision and recall: they need more than {} samples and examples", kNeighbours));
    return;
  }
  const PrecisionRecall model = precision_recall(data, samples, kNeighbours);
  const PrecisionRecall floor = precision_recall(data, training, kNeighbours);
  add_pair("precision", "precision", model.precision, floor.precision, report);
  add_pair("recall", "recall", model.recall, floor.recall, report);
}

void add_judged(const Judge& judge, const Compared& compared, Report& report) {
  const SampleSet samples = judge.features(compared.samples), data = judge.features(compared.data),
                  training = judge.features(compared.training);
  const Gaussian fitted = fit_gaussian(data);
  add_pair("frechet_distance", "Frechet distance of features",
           frechet_distance(fit_gaussian(samples), fitted), frechet_distance(fit_gaussian(training), fitted),
           report);
  add_neighbours(samples, data, training, report);
  if (!compared.labels.defined()) return;
  report.measures.push_back({"judge_accuracy", "accuracy of the classifier of the features",
                             judge.accuracy(compared.data, compared.labels)});
}

void add_modes(const Compared& compared, std::span<const PointMode> modes, Report& report) {
  if (modes.empty()) return;
  const SampleSet samples = sample_set(compared.samples), training = sample_set(compared.training);
  const ModeCoverage model = mode_coverage(samples, modes), data = mode_coverage(training, modes);
  const auto count = static_cast<double>(samples.count);
  const auto good = static_cast<double>(model.high_quality);
  report.measures.push_back({"modes_covered",
                             fmt::format("modes covered, of {}", modes.size()),
                             static_cast<double>(model.covered),
                             {},
                             "",
                             0});
  report.measures.push_back(
      {"high_quality_share", "samples near a mode", good / count, share_error(good, count)});
  report.measures.push_back({"high_quality_share_of_data", kInTheirPlace,
                             static_cast<double>(data.high_quality) / static_cast<double>(training.count)});
}

Samples timed_samples(const Task& task, const TaskEvaluation& evaluation, Report& report) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  Samples samples = draw_samples(
      evaluation.model, task, evaluation.settings, {.count = evaluation.samples, .seed = evaluation.seed},
      [&](const Snapshot& snapshot) { evaluation.observer("sampling", snapshot.step, snapshot.steps); });
  const std::chrono::duration<double> seconds = Clock::now() - start;
  const auto count = static_cast<double>(evaluation.samples);
  report.measures.push_back({"samples", "samples", count, {}, "", 0});
  report.measures.push_back({"sampling_seconds", "drawing them, wall-clock", seconds.count(), {}, "s", 4});
  report.measures.push_back({"network_calls",
                             "network calls a sample",
                             static_cast<double>(samples.network_calls) / count,
                             {},
                             "",
                             1});
  return samples;
}

}  // namespace

void measure_samples(const Task& task, const TaskEvaluation& evaluation, std::span<const PointMode> modes,
                     Report& report) {
  if (!evaluation.model.sampler() || evaluation.samples == 0) return;
  const std::filesystem::path folder = judge_folder(evaluation.settings);
  std::optional<Judge> judge;  // before the samples, for its refusal
  if (!folder.empty()) judge = Judge::load(folder, task.facts().value_shape);
  const Samples drawn = timed_samples(task, evaluation, report);
  const Compared compared = compared_sets(task, evaluation, drawn.values);
  if (compared.data.size(0) < drawn.values.size(0)) {
    report.notes.push_back(
        fmt::format("samples are compared with {} examples, the number evaluated: "
                    "distances to few examples are large",
                    compared.data.size(0)));
  }
  const SampleSet samples = sample_set(compared.samples), data = sample_set(compared.data),
                  training = sample_set(compared.training);
  add_pair("sliced_wasserstein", "sliced Wasserstein distance", sliced_wasserstein(samples, data),
           sliced_wasserstein(training, data), report);
  if (judge) {
    add_judged(*judge, compared, report);
  } else {
    add_neighbours(samples, data, training, report);
  }
  add_modes(compared, modes, report);
}

std::vector<std::string> sample_measure_names() {
  return {"samples",
          "sampling_seconds",
          "network_calls",
          "sliced_wasserstein",
          "sliced_wasserstein_of_data",
          "precision",
          "precision_of_data",
          "recall",
          "recall_of_data",
          "frechet_distance",
          "frechet_distance_of_data",
          "judge_accuracy",
          "modes_covered",
          "high_quality_share",
          "high_quality_share_of_data"};
}

}  // namespace haze
