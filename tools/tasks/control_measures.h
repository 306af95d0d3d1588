#pragma once

#include "haze/tools/tasks/text_task.h"

namespace haze {

/// The settings of section [control]: the properties that an evaluation guides texts to.
SettingsTable control_settings();

/// The names of all measures that measure_controls() may add.
std::vector<std::string> control_measure_names();

/// Guides texts to evaluation_targets(), and adds three measures to a report for each word of control.kinds.
/// KIND_success is the success of the texts, KIND_nats their fluency, in nats per token under the run
/// control.judge, and KIND_seconds the time of a target. The success of several properties together is the
/// product of theirs. With control.guided false, texts have the target's length alone. The best of
/// control.tries counts for each target: rejection by an oracle. Adds nothing where control.kinds is empty.
/// Throws Error where a model cannot be guided to a target, nobody can judge it, or a text is longer than a
/// judge reads.
void measure_controls(const TextTask& task, const TaskEvaluation& evaluation, Report& report);

}  // namespace haze
