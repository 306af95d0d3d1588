#pragma once

#include <functional>
#include <vector>

namespace haze {

struct TimerOptions {
  int repetitions = 25;
  double seconds = 0.01;  // of each repetition, which is one call at least
};

/// Seconds of one call of each of the functions: the fastest of some repetitions, each of which is a mean of
/// many calls by Google Benchmark. Repetitions of all of them take turns in random order, so that whatever
/// else the machine does disturbs all alike. Many short ones find a quiet moment sooner than few long ones.
/// Each is called once before, to fill caches and allocators.
std::vector<double> fastest_seconds(const std::vector<std::function<void()>>& functions,
                                    const TimerOptions& options);

}  // namespace haze
