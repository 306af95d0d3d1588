#include "haze/bench/step.h"

#include <algorithm>
#include <chrono>
#include <regex>

#include <fmt/format.h>

#include "haze/bench/peer_process.h"
#include "haze/bench/resident_memory.h"
#include "haze/bench/step_model.h"
#include "haze/engine/error.h"
#include "haze/engine/parallel.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

constexpr int kWarmUpSteps = 2;

enum class Work { training, forward };

const char* name(Work work) {
  return work == Work::training ? "training" : "forward";
}

/// The best figures of some repetitions, and the peer's setting that each belongs to.
struct Best {
  double tokens_a_second = 0;
  double peak_bytes = std::numeric_limits<double>::infinity();
  std::string fast_setting, small_setting;

  void include(double tokens, double bytes, const std::string& setting = {}) {
    if (tokens > tokens_a_second) {
      tokens_a_second = tokens;
      fast_setting = setting;
    }
    if (bytes < peak_bytes) {
      peak_bytes = bytes;
      small_setting = setting;
    }
  }
};

/// One kind of work of one model, done by haze and by the peer in turns.
class StepComparison {
 public:
  StepComparison(const StepModel& model, Work work, const StepBenchOptions& options)
      : model_(model), work_(work), options_(options) {
    release_cached_memory();
    reset_peak_resident();
    program_.emplace(model);
    for (int i = 0; i < kWarmUpSteps; ++i) step();
  }

  void measure_alone() {
    for (int i = 0; i < options_.repetitions; ++i) measure_ours();
  }

  void measure_beside(const std::string& setting, const std::string& projected) {
    PeerProcess peer(options_.python, "step.py", peer_arguments(setting, projected));
    for (int i = 0; i < options_.repetitions; ++i) {
      measure_ours();
      const nlohmann::json answer = peer.measure();
      theirs_.include(answer.at("tokens_per_second"), answer.at("peak_bytes"),
                      fmt::format("{}, {} projected", setting, projected));
    }
  }

  Comparison speed() const {
    Comparison comparison{.name = model_.name(), .ours = ours_.tokens_a_second, .unit = "tokens/s"};
    if (theirs_.tokens_a_second > 0) comparison.peer = theirs_.tokens_a_second;
    comparison.setting = theirs_.fast_setting;
    return comparison;
  }

  Comparison memory() const {
    Comparison comparison{.name = model_.name(), .ours = ours_.peak_bytes * 1e-6, .unit = "MB"};
    if (theirs_.tokens_a_second > 0) comparison.peer = theirs_.peak_bytes * 1e-6;
    comparison.setting = theirs_.small_setting;
    return comparison;
  }

 private:
  void step() { work_ == Work::training ? program_->train() : program_->forward(); }

  void measure_ours() {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    int64_t steps = 0;
    double seconds = 0;
    do {
      step();
      ++steps;
      seconds = std::chrono::duration<double>(Clock::now() - start).count();
    } while (seconds < options_.seconds);
    ours_.include(static_cast<double>(steps * model_.tokens()) / seconds,
                  static_cast<double>(peak_resident_bytes()));
  }

  std::vector<std::string> peer_arguments(const std::string& setting, const std::string& projected) const {
    const auto number = [](const char* option, int64_t value) {
      return fmt::format("--{}={}", option, value);
    };
    return {number("layers", model_.layers),
            number("hidden", model_.hidden),
            number("heads", model_.heads),
            number("vocabulary", model_.vocabulary),
            number("length", model_.length),
            number("batch", model_.batch),
            number("threads", threads()),
            fmt::format("--seconds={}", options_.seconds),
            "--work=" + std::string(name(work_)),
            "--precision=" + options_.precision,
            "--setting=" + setting,
            "--projected=" + projected};
  }

  StepModel model_;
  Work work_;
  const StepBenchOptions& options_;
  std::optional<StepProgram> program_;
  Best ours_, theirs_;
};

/// The forward pass is compared with every position projected, on both sides.
std::vector<std::string> projections(Work work, const StepBenchOptions& options) {
  return work == Work::training ? options.projected : std::vector<std::string>{"all"};
}

std::vector<std::string> settings_of(const StepBenchOptions& options) {
  const std::vector<std::string> known = peer_settings(options.precision);
  for (const std::string& setting : options.settings) {
    if (std::find(known.begin(), known.end(), setting) == known.end()) {
      fail("--settings {}: in {} PyTorch has {}", setting, options.precision, fmt::join(known, " and "));
    }
  }
  return options.settings.empty() ? known : options.settings;
}

}  // namespace

std::vector<std::string> peer_settings(const std::string& precision) {
  // Autocast multiplies by oneDNN as it is, and PyTorch's fused linear layers take float32 alone.
  if (precision == "bfloat16") return {"eager", "compile"};
  return {"eager", "compile", "onednn", "compile+onednn"};
}

std::vector<ComparisonGroup> compare_steps(const StepBenchOptions& options,
                                           const std::function<void(const std::string&)>& progress) {
  const PrecisionScope precision(precision_called(options.precision));
  const std::vector<std::string> settings = settings_of(options);
  const std::regex pattern(options.filter);
  std::vector<ComparisonGroup> groups;
  ComparisonGroup memory{"peak memory, training", "PyTorch", {}};
  for (const Work work : {Work::training, Work::forward}) {
    ComparisonGroup group{fmt::format("{} {}", name(work), options.precision), "PyTorch", {}};
    for (const StepModel& model : step_models()) {
      const std::string row = fmt::format("{} {}", name(work), model.name());
      if (!std::regex_search(row, pattern)) continue;
      progress(row);
      StepComparison comparison(model, work, options);
      if (options.python.empty()) comparison.measure_alone();
      for (const std::string& projected : projections(work, options)) {
        for (const std::string& setting : settings) {
          if (options.python.empty()) continue;
          progress(fmt::format("{}: PyTorch {}, {} projected", row, setting, projected));
          comparison.measure_beside(setting, projected);
        }
      }
      group.rows.push_back(comparison.speed());
      if (work == Work::training) memory.rows.push_back(comparison.memory());
    }
    if (!group.rows.empty()) groups.push_back(std::move(group));
  }
  if (!memory.rows.empty()) groups.push_back(std::move(memory));
  if (groups.empty()) fail("--filter {}: no row has such a name", options.filter);
  return groups;
}

}  // namespace haze
