#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "haze/engine/profile.h"
#include "haze/nn/settings.h"
#include "haze/tools/lab/gpu.h"

/// The cost of a training step on a GPU, on paper: the engine's calls describe their work (engine/call.h).
namespace haze {

/// The calls of one operation in one phase of a step, or all calls of a phase.
struct CostRow {
  std::string name, phase;
  double calls = 0, flops = 0, bytes = 0;
  /// The sum over its calls of the time for their operations at the peak of their units, or for their bytes
  /// at the bandwidth of the GPU's memory, whichever is longer.
  double seconds = 0;
  double arithmetic_seconds = 0;  // of these, in calls that arithmetic limits
  double peak_bytes = 0;          // of a phase: most memory at a time, the weights and all else included
};

struct ModelCost {
  double parameters = 0, tokens = 0;
  std::vector<CostRow> phases;      // forward, backward, optimizer
  std::vector<CostRow> operations;  // the slowest first

  double seconds() const;
  double flops() const;
  double peak_bytes() const;
};

/// A step of the settings' model on texts of data.max_length tokens each, which are invented, of a vocabulary
/// of so many tokens. Every call of the step is made, and its results are allocated, but no kernel runs: a
/// large model takes seconds, and addresses rather than memory. Throws Error where the model learns no texts,
/// or the system gives no addresses.
ModelCost model_cost(const Settings& settings, int64_t vocabulary, const Gpu& gpu);

/// The costs of a profile's calls, such as those of a step whose kernels ran.
std::vector<CostRow> phase_costs(const Profile& profile, const Gpu& gpu);

std::string cost_table(const ModelCost& cost, const Gpu& gpu);
nlohmann::ordered_json cost_json(const ModelCost& cost, const Gpu& gpu);

}  // namespace haze
