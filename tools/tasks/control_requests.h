#pragma once

#include <memory>
#include <span>

#include "haze/tools/tasks/control_target.h"
#include "haze/tools/tasks/text_task.h"

namespace haze {

/// The tasks of the classifiers' runs that settings name, whose classes have names. Null where there is none.
struct ControlTasks {
  std::unique_ptr<TextTask> label, tags, spans;

  /// Of sample.classifier, sample.tagger and sample.parser, where the model has these settings and they name
  /// a run.
  static ControlTasks of(const Settings& settings);
};

/// Gives a request the length that targets say, or the shortest that holds their spans where lengths are
/// drawn. Throws Error where they say different lengths.
void set_length(std::span<const ControlTarget> targets, SampleRequest& request);

/// The sampler's request for one text that has all of `targets`. A model that learned pairs gets their
/// written forms as the source. Others get the classes for their classifiers. `request` holds the rest; its
/// count is not read. Throws Error where a class is unknown, with the nearest one. Throws Error where the
/// model has no classifier for a target, with the command that trains one. Throws Error where targets
/// contradict one another, or one does not fit.
Request controlled_request(const TextTask& task, const Settings& settings, const Uses& uses,
                           const ControlTasks& tasks, std::span<const ControlTarget> targets,
                           SampleRequest request);

}  // namespace haze
