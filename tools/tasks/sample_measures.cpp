#include "haze/tools/tasks/sample_measures.h"

#include <chrono>
#include <numeric>

#include "haze/tools/run/sampling.h"
#include "haze/tools/tasks/corpus_floor.h"
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
  SampleSet samples, data, training;
};

SampleSet set_of(const Examples& examples, std::span<const int64_t> indices) {
  return sample_set(examples.batch(indices).values);
}

/// `count` of the examples that are evaluated, evenly spread.
SampleSet evaluated_set(const TaskEvaluation& evaluation, int64_t count) {
  std::vector<int64_t> chosen;
  for (const int64_t index : spread_indices(std::ssize(evaluation.indices), count))
    chosen.push_back(evaluation.indices[static_cast<size_t>(index)]);
  return set_of(evaluation.examples, chosen);
}

SampleSet training_set(const Task& task, const TaskEvaluation& evaluation, int64_t count) {
  const std::unique_ptr<Examples> examples = task.examples(evaluation.settings, Part::train);
  return set_of(*examples, spread_indices(examples->size(), count));
}

/// A measure of the samples, and beside it that of training examples.
void add_pair(const std::string& name, const std::string& label, double of_samples, double of_data,
              Report& report) {
  report.measures.push_back({name, label, of_samples});
  report.measures.push_back({name + kOfData, kInTheirPlace, of_data});
}

void add_neighbours(const Compared& compared, Report& report) {
  if (std::min({compared.samples.count, compared.data.count, compared.training.count}) <= kNeighbours) {
    report.notes.push_back(
        fmt::format("no precision and recall: they need more than {} samples and examples", kNeighbours));
    return;
  }
  const PrecisionRecall model = precision_recall(compared.data, compared.samples, kNeighbours);
  const PrecisionRecall data = precision_recall(compared.data, compared.training, kNeighbours);
  add_pair("precision", "precision", model.precision, data.precision, report);
  add_pair("recall", "recall", model.recall, data.recall, report);
}

void add_modes(const Compared& compared, std::span<const PointMode> modes, Report& report) {
  if (modes.empty()) return;
  const ModeCoverage model = mode_coverage(compared.samples, modes);
  const ModeCoverage data = mode_coverage(compared.training, modes);
  const auto count = static_cast<double>(compared.samples.count);
  const auto good = static_cast<double>(model.high_quality);
  report.measures.push_back({"modes_covered",
                             fmt::format("modes covered, of {}", modes.size()),
                             static_cast<double>(model.covered),
                             {},
                             "",
                             0});
  report.measures.push_back(
      {"high_quality_share", "samples near a mode", good / count, share_error(good, count)});
  report.measures.push_back(
      {"high_quality_share_of_data", kInTheirPlace,
       static_cast<double>(data.high_quality) / static_cast<double>(compared.training.count)});
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
  const Samples samples = timed_samples(task, evaluation, report);
  Compared compared;
  compared.samples = sample_set(samples.values);
  compared.data = evaluated_set(evaluation, compared.samples.count);
  compared.training = training_set(task, evaluation, compared.samples.count);
  add_pair("sliced_wasserstein", "sliced Wasserstein distance",
           sliced_wasserstein(compared.samples, compared.data),
           sliced_wasserstein(compared.training, compared.data), report);
  add_neighbours(compared, report);
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
          "modes_covered",
          "high_quality_share",
          "high_quality_share_of_data"};
}

}  // namespace haze
