#pragma once

#include <span>

#include "haze/tools/tasks/point_sets.h"
#include "haze/tools/tasks/task.h"

namespace haze {

/// Adds to a report how samples of a model of tensors compare with as many of the examples that are
/// evaluated. Distances, precision and recall come with their value for training examples in the samples'
/// place, which no model is expected to beat. With the setting data.judge, a classifier's run, precision and
/// recall compare its features, and a Frechet distance of them comes with its accuracy. `modes` may be empty.
/// Samples cost wall-clock seconds and network calls, which are reported too. Adds nothing where the model
/// cannot sample, or no samples are asked for. Throws Error where a sample is not finite.
void measure_samples(const Task& task, const TaskEvaluation& evaluation, std::span<const PointMode> modes,
                     Report& report);

/// The names of all measures that measure_samples() can add.
std::vector<std::string> sample_measure_names();

}  // namespace haze
