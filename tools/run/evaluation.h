#pragma once

#include "haze/diffusion/bound.h"
#include "haze/tools/run/saved_model.h"

namespace haze {

/// The fewest passes that a user may ask for: two standard errors of two passes hold the truth in 70% of
/// cases, those of five in 88%.
inline constexpr int64_t kFewestPasses = 5;

struct EvaluationOptions {
  int passes = 8;           // independent estimates, at least 2; kFewestPasses from users
  bool every_term = false;  // all terms of the bound instead of draws
  uint64_t seed = 1;
  bool in_training = false;  // a likelihood that is costly gives way to the loss
  WorkProgress progress;
};

/// Measures a model by its bound on -log p. A model without one is measured by the losses of its objectives.
/// The report's first measure is nats_per_<unit>, loss, or loss_<objective>, then the other objectives'.
/// Throws Error where the first measure is not finite. Gradients of the model's parameters may be left
/// behind.
Report evaluate_bound(Model& model, const Task& task, const Examples& examples,
                      std::span<const int64_t> indices, const EvaluationOptions& options);

/// Whether the first measure of evaluate_bound() orders a model's checkpoints: it is a bound on -log p, or
/// the loss of the only objective. Several objectives work against one another, so that the loss of one falls
/// as the other's network gets worse; of such a model no checkpoint is the best.
bool can_be_best(Model& model);

/// What evaluate_bound() measures a model by, first in its report: the bound, or the loss of each objective.
std::vector<Measure> leading_measures(Model& model, const Report& report);

/// Whether a setting concerns what is made of a trained model and not its training: how it samples, and the
/// classifier that judges the samples.
bool is_of_evaluation(std::string_view key);

/// What a finished or stopped run is measured on.
struct RunEvaluationOptions {
  EvaluationOptions bound;
  std::filesystem::path file;      // examples of the command line; empty: the run's test part
  int64_t examples = 0;            // evenly spread over all; 0: all
  std::optional<int64_t> samples;  // to draw and measure; 0: none; by default as many as the task says
};

/// Takes over "key=value" assignments of an evaluation: how to sample and, where the examples come from a
/// file of their own, how it is read. Throws Error on any other,, where one is wrong, and where the sampler
/// has no use for it; its sentence calls what sets by `setter` and what names the file by `file_option`.
void set_for_evaluation(const std::vector<std::string>& assignments, bool own_file, Settings& settings,
                        std::string_view setter = "--set", std::string_view file_option = "--data");

/// The bound of a model and whatever its task measures beyond it. Throws Error where the options do not suit
/// the model.
Report evaluate_run(const SavedModel& saved, const RunEvaluationOptions& options);

}  // namespace haze
