#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "haze/engine/cpu/machine.h"
#include "haze/engine/profile.h"

namespace haze {

/// The calls of one operation in one phase. Numbers are of a step, on average.
struct ProfileRow {
  std::string
      operation;  // with its extents; "~" before one that changes from step to step, which is then a mean
  std::string phase;
  double calls = 0, seconds = 0;
  double flops = 0, bytes = 0;
  /// What the machine's limits leave of `seconds`: the time for its operations at the peak of their precision
  /// or for its bytes, whichever is longer. Bytes of operands that fit in the second-level caches have these
  /// caches' bandwidth, the others that of memory. 0 where no limits are known.
  double limit_seconds = 0;
  /// Which of the two is longer. Without limits, whether the operation counts any.
  bool bound_by_arithmetic = false;
};

/// A phase of the step, on average, and what of it was outside any operation.
struct ProfilePhaseTime {
  std::string phase;
  double seconds = 0, outside_seconds = 0;
};

/// What a profile says of a step.
struct ProfileReport {
  std::optional<MachineLimits> limits;  // of the cpu; a profile of another device has none
  int64_t steps = 0;
  double step_seconds = 0, outside_seconds = 0;  // of a step, on average
  std::vector<ProfileRow> rows;                  // the slowest first
  std::vector<ProfilePhaseTime> phases;          // in their order
};

/// Adds up calls of the same operation, extents and phase. An extent that does not come back in at least half
/// of the steps, such as the number of tokens in a batch, does not keep calls apart. Throws Error where there
/// is no step.
ProfileReport report_of(const Profile& profile, const std::optional<MachineLimits>& limits);

/// For people: a line an operation, the times of the phases, the machine's limits where they are known.
std::string profile_table(const ProfileReport& report);

/// machine, step, phases and all rows; milliseconds, GFLOP/s and GB/s. Without limits, machine is null, and
/// rows have no share of them.
nlohmann::ordered_json profile_json(const ProfileReport& report);

/// Every step, phase and call as a complete event of a Chrome trace, after the process's name: a JSON array
/// that Perfetto and chrome://tracing open; microseconds.
std::string chrome_trace(const Profile& profile);

}  // namespace haze
