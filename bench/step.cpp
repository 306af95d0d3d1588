#include "haze/bench/step.h"

#include <regex>

#include <fmt/format.h>

#include "haze/bench/resident_memory.h"
#include "haze/bench/step_model.h"
#include "haze/bench/step_turns.h"
#include "haze/bench/value_step.h"
#include "haze/engine/error.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

using Progress = std::function<void(const std::string&)>;

enum class Work { training, forward };

const char* name(Work work) {
  return work == Work::training ? "training" : "forward";
}

StepPeer peer_of(const StepModel& model, Work work, const StepBenchOptions& options,
                 const std::string& projected) {
  const auto number = [](const char* option, int64_t value) { return fmt::format("--{}={}", option, value); };
  return {.script = "step.py",
          .arguments = {number("layers", model.layers), number("hidden", model.hidden),
                        number("heads", model.heads), number("vocabulary", model.vocabulary),
                        number("length", model.length), number("batch", model.batch),
                        "--work=" + std::string(name(work)), "--precision=" + options.precision,
                        "--projected=" + projected},
          .rate = "tokens_per_second"};
}

/// The forward pass is compared with every position projected, on both sides.
std::vector<std::string> projections(Work work, const StepBenchOptions& options) {
  return work == Work::training ? options.projected : std::vector<std::string>{"all"};
}

// Autocast multiplies by oneDNN as it is, and PyTorch's fused linear layers take float32 alone.
std::vector<std::string> text_settings(const std::string& precision) {
  if (precision == "bfloat16") return {"eager", "compile"};
  return {"eager", "compile", "onednn", "compile+onednn"};
}

// Peak memory counts from here on.
void start_memory() {
  release_cached_memory();
  reset_peak_resident();
}

void measure_texts(const StepModel& model, Work work, const StepBenchOptions& options,
                   const MachineLimits& limits, const Progress& progress, ComparisonGroup& speed,
                   ComparisonGroup& memory) {
  const std::string row = fmt::format("{} {}", name(work), model.name());
  const auto settings = settings_among(text_settings(options.precision), options, row);
  progress(row);
  start_memory();
  StepProgram program(model);
  StepTurns turns([&] { work == Work::training ? program.train() : program.forward(); }, model.tokens(),
                  options, limits);
  if (options.python.empty()) turns.measure_alone();
  for (const std::string& projected : projections(work, options)) {
    for (const std::string& setting : settings) {
      if (options.python.empty()) continue;
      progress(fmt::format("{}: PyTorch {}, {} projected", row, setting, projected));
      turns.measure_beside(peer_of(model, work, options, projected), setting,
                           fmt::format("{}, {} projected", setting, projected));
    }
  }
  speed.rows.push_back(turns.speed(model.name(), "tokens/s"));
  if (work == Work::training) memory.rows.push_back(turns.memory(model.name()));
}

void measure_values(const ValueStepModel& model, const StepBenchOptions& options, const MachineLimits& limits,
                    const Progress& progress, ComparisonGroup& speed, ComparisonGroup& memory) {
  const std::string row = "training " + model.name();
  const auto settings = settings_among(value_peer_settings(model), options, row);
  progress(row);
  start_memory();
  ValueStepProgram program(model);
  StepTurns turns([&] { program.train(); }, model.batch, options, limits);
  if (options.python.empty()) turns.measure_alone();
  for (const std::string& setting : settings) {
    if (options.python.empty()) continue;
    progress(fmt::format("{}: PyTorch {}", row, setting));
    turns.measure_beside(value_step_peer(model), setting, setting);
  }
  speed.rows.push_back(turns.speed(model.name(), "examples/s"));
  memory.rows.push_back(turns.memory(model.name()));
}

}  // namespace

std::vector<std::string> peer_settings() {
  return {"eager",         "compile",
          "onednn",        "compile+onednn",
          "one-thread",    "compile+one-thread",
          "channels-last", "compile+channels-last"};
}

std::vector<ComparisonGroup> compare_steps(const StepBenchOptions& options, const Progress& progress) {
  const PrecisionScope precision(precision_called(options.precision));
  const std::regex pattern(options.filter);
  const MachineLimits limits = measure_machine_limits();
  const auto wanted = [&](const std::string& row) { return std::regex_search(row, pattern); };
  std::vector<ComparisonGroup> groups;
  ComparisonGroup memory{"peak memory, training", "PyTorch", {}};
  for (const Work work : {Work::training, Work::forward}) {
    ComparisonGroup group{fmt::format("{} {}", name(work), options.precision), "PyTorch", {}};
    for (const StepModel& model : step_models()) {
      if (!wanted(fmt::format("{} {}", name(work), model.name()))) continue;
      measure_texts(model, work, options, limits, progress, group, memory);
    }
    if (!group.rows.empty()) groups.push_back(std::move(group));
  }
  ComparisonGroup values{"training of points and images", "PyTorch", {}};
  if (options.precision == "float32") {
    for (const ValueStepModel& model : value_step_models()) {
      if (wanted("training " + model.name()))
        measure_values(model, options, limits, progress, values, memory);
    }
  }
  if (!values.rows.empty()) groups.push_back(std::move(values));
  if (!memory.rows.empty()) groups.push_back(std::move(memory));
  if (groups.empty()) fail("--filter {}: no row has such a name", options.filter);
  return groups;
}

}  // namespace haze
