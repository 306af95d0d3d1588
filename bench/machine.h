#pragma once

#include <functional>
#include <string>
#include <vector>

#include "haze/bench/kernel_case.h"
#include "haze/bench/timer.h"
#include "haze/engine/cpu/machine.h"
#include "haze/tools/run/roofline.h"

namespace haze {

/// The levels of memory whose bandwidth was measured, the nearest first.
std::vector<Roof> roofs_of(const MachineLimits& limits);

/// Times each kernel by itself, as a point of the roofline. `progress` is called with the name of each row
/// before it is measured.
std::vector<RooflinePoint> measure_points(const std::vector<KernelGroup>& groups, const TimerOptions& timer,
                                          const std::function<void(const std::string&)>& progress);

}  // namespace haze
