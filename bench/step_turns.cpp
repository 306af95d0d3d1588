#include "haze/bench/step_turns.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "haze/bench/peer_process.h"
#include "haze/bench/resident_memory.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/error.h"
#include "haze/tools/run/profile_report.h"

namespace haze {
namespace {

constexpr int kWarmUpSteps = 2, kCountedSteps = 3;

// The time that the machine's limits leave of a step.
double limit_of(const std::function<void()>& step, const MachineLimits& limits) {
  Profile profile;
  for (int i = 0; i < kCountedSteps; ++i) {
    const ProfileScope scope(profile);
    step();
  }
  double seconds = 0;
  for (const ProfileRow& row : report_of(profile, limits).rows) seconds += row.limit_seconds;
  return seconds;
}

}  // namespace

void StepTurns::Best::include(double units, double bytes, const std::string& setting) {
  if (units > units_a_second) {
    units_a_second = units;
    fast_setting = setting;
  }
  if (bytes < peak_bytes) {
    peak_bytes = bytes;
    small_setting = setting;
  }
}

StepTurns::StepTurns(std::function<void()> step, int64_t units, const StepBenchOptions& options,
                     const MachineLimits& limits)
    : step_(std::move(step)), units_(units), options_(options) {
  for (int i = 0; i < kWarmUpSteps; ++i) step_();
  limit_seconds_ = limit_of(step_, limits);
}

void StepTurns::measure_alone() {
  for (int i = 0; i < options_.repetitions; ++i) measure_ours();
}

void StepTurns::measure_beside(const StepPeer& peer, const std::string& setting, const std::string& label) {
  std::vector<std::string> arguments = peer.arguments;
  arguments.push_back(fmt::format("--threads={}", threads()));
  arguments.push_back(fmt::format("--seconds={}", options_.seconds));
  arguments.push_back("--setting=" + setting);
  PeerProcess process(options_.python, peer.script, std::move(arguments));
  for (int i = 0; i < options_.repetitions; ++i) {
    measure_ours();
    const nlohmann::json answer = process.measure();
    theirs_.include(answer.at(peer.rate), answer.at("peak_bytes"), label);
  }
}

Comparison StepTurns::speed(const std::string& name, const std::string& unit) const {
  Comparison comparison{.name = name, .ours = ours_.units_a_second, .unit = unit};
  if (theirs_.units_a_second > 0) comparison.peer = theirs_.units_a_second;
  comparison.share_of_peak = limit_seconds_ * ours_.units_a_second / static_cast<double>(units_);
  comparison.setting = theirs_.fast_setting;
  return comparison;
}

Comparison StepTurns::memory(const std::string& name) const {
  Comparison comparison{.name = name, .ours = ours_.peak_bytes * 1e-6, .unit = "MB"};
  if (theirs_.units_a_second > 0) comparison.peer = theirs_.peak_bytes * 1e-6;
  comparison.setting = theirs_.small_setting;
  return comparison;
}

void StepTurns::measure_ours() {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  int64_t steps = 0;
  double seconds = 0;
  do {
    step_();
    ++steps;
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  } while (seconds < options_.seconds);
  ours_.include(static_cast<double>(steps * units_) / seconds, static_cast<double>(peak_resident_bytes()));
}

std::vector<std::string> settings_among(const std::vector<std::string>& known,
                                        const StepBenchOptions& options, const std::string& row) {
  if (options.settings.empty()) return known;
  std::vector<std::string> result;
  for (const std::string& setting : options.settings) {
    if (std::find(known.begin(), known.end(), setting) != known.end()) result.push_back(setting);
  }
  if (result.empty()) {
    fail("--settings {}: for {} in {} PyTorch has {}", fmt::join(options.settings, ","), row,
         options.precision, fmt::join(known, " and "));
  }
  return result;
}

}  // namespace haze
