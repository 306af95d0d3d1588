#pragma once

#include "haze/tools/tasks/text_task.h"

namespace haze {

/// The settings of section [control]: what an evaluation leads texts to.
SettingsTable control_settings();

/// Adds to a report, for each of control.kinds, the success of texts that are led to targets, KIND_success,
/// and their fluency, KIND_nats: nats per token under the run control.judge. The targets are properties of
/// texts of the built-in corpus's test part, the same ones for every model. With control.led false the texts
/// are drawn freely, and the best of control.tries counts for each target: rejection by an oracle. Nothing
/// where control.kinds is empty.
void measure_controls(const TextTask& task, const TaskEvaluation& evaluation, Report& report);

}  // namespace haze
