#pragma once

#include "haze/diffusion/bound.h"
#include "haze/tools/tasks/task.h"

namespace haze {

struct EvaluationOptions {
  int passes = 8;           // independent estimates, at least 2
  bool every_term = false;  // all terms of the bound instead of draws
  int64_t examples = 0;     // evenly spread over all; 0: all
  uint64_t seed = 1;
  WorkProgress progress;
};

/// What every model is measured by: its bound on -log p, or, of a model without one, its loss. In a report
/// whose first measure is nats_per_<unit>, or loss.
Report evaluate_bound(const Model& model, const Task& task, const Examples& examples,
                      std::span<const int64_t> indices, const EvaluationOptions& options);

}  // namespace haze
