#pragma once

#include "haze/diffusion/bound.h"
#include "haze/tools/run/saved_model.h"

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

/// What a finished or stopped run is measured on.
struct RunEvaluationOptions {
  EvaluationOptions bound;
  std::filesystem::path file;  // examples of the command line; empty: the run's test part
  int64_t examples = 0;        // evenly spread over all; 0: all
  int64_t samples = 200;       // to draw and measure; 0: none
};

/// The bound of a model and whatever its task measures beyond it. Throws Error where the options do not suit
/// the model.
Report evaluate_run(const SavedModel& saved, const RunEvaluationOptions& options);

}  // namespace haze
