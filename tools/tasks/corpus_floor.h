#pragma once

#include "haze/tools/tasks/text_task.h"

namespace haze {

/// For the built-in corpus, whose grammar is known: what the grammar itself gives the texts that were
/// evaluated, the floor that no model can beat, and the share of samples that the grammar makes. Adds nothing
/// for other texts, nor for those that come with a source or a label. There is no floor where `unknown`
/// tokens are the unknown word: a model does not pay for all of such a text.
void measure_against_corpus(const TextTask& task, const TaskEvaluation& evaluation, int64_t unknown,
                            Report& report);

}  // namespace haze
