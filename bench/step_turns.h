#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "haze/bench/step.h"
#include "haze/engine/cpu/machine.h"

namespace haze {

/// The program of bench/peers that does the same step, and what it answers.
struct StepPeer {
  std::string script;                  // "step.py"
  std::vector<std::string> arguments;  // without threads, seconds and setting
  std::string rate;                    // of its answer: "tokens_per_second"
};

/// A step that haze and its peer do in turns.
class StepTurns {
 public:
  /// `step` works through `units` tokens or examples. Does it a few times, to warm up and to count its work.
  StepTurns(std::function<void()> step, int64_t units, const StepBenchOptions& options,
            const MachineLimits& limits);

  void measure_alone();
  /// `label` is what a table says of the setting.
  void measure_beside(const StepPeer& peer, const std::string& setting, const std::string& label);

  /// In units a second. The share of the peak is the time that the machine's limits leave of the step, call
  /// by call (ProfileRow::limit_seconds), over the time that it takes.
  Comparison speed(const std::string& name, const std::string& unit) const;
  /// In MB.
  Comparison memory(const std::string& name) const;

 private:
  /// The best figures of some repetitions, and the peer's setting that each belongs to.
  struct Best {
    double units_a_second = 0;
    double peak_bytes = std::numeric_limits<double>::infinity();
    std::string fast_setting, small_setting;

    void include(double units, double bytes, const std::string& setting = {});
  };

  void measure_ours();

  std::function<void()> step_;
  int64_t units_;
  double limit_seconds_;  // of a step
  const StepBenchOptions& options_;
  Best ours_, theirs_;
};

/// The settings of `known` that the options ask for, all by default. Throws Error where it asks for none of
/// them.
std::vector<std::string> settings_among(const std::vector<std::string>& known,
                                        const StepBenchOptions& options, const std::string& row);

}  // namespace haze
