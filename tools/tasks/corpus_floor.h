#pragma once

#include "haze/tools/tasks/text_task.h"

namespace haze {

/// The standard error of the share counted / all, 0 <= counted <= all: sqrt(p (1 - p) / (all + 4)) with p =
/// (counted + 2) / (all + 4). Source: Agresti and Coull 1998, "Approximate is better than exact for interval
/// estimation of binomial proportions", section 4. It is not 0 where none or all are counted.
double share_error(double counted, double all);

/// The mean of numbers and its standard error: share_error() where all are 0 or 1, otherwise by their spread;
/// none of a single one.
struct MeanAndError {
  double mean = 0;
  std::optional<double> error;
};
MeanAndError mean_and_error(const std::vector<double>& numbers);

/// Adds to a report what the grammar of the built-in corpus says. The floor is what the grammar itself gives
/// the texts that were evaluated: no model can beat it. The share of samples that the grammar makes comes
/// beside it, with share_error() as its standard error. Adds nothing for other texts, nor for those that come
/// with a source or a label. There is no floor where `unknown` tokens are the unknown word: a model does not
/// pay for all of such a text.
void measure_against_corpus(const TextTask& task, const TaskEvaluation& evaluation, int64_t unknown,
                            Report& report);

}  // namespace haze
