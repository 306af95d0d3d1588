#pragma once

#include <string>
#include <vector>

#include "haze/bench/kernel_case.h"
#include "haze/bench/timer.h"
#include "haze/engine/cpu/machine.h"
#include "haze/tools/run/comparison.h"

namespace haze {

/// The rows in whose "title name" the regular expression is found. Throws Error where there is none.
std::vector<KernelGroup> filtered(std::vector<KernelGroup> groups, const std::string& filter);

/// Times each kernel beside its peer, in 10^9 operations or bytes a second. `progress` is called with the
/// name of each row before it is measured.
std::vector<ComparisonGroup> compare_kernels(const std::vector<KernelGroup>& groups,
                                             const TimerOptions& timer, const MachineLimits& limits,
                                             const std::function<void(const std::string&)>& progress);

}  // namespace haze
