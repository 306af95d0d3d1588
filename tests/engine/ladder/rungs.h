#pragma once

#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/simt/counters.h"
#include "haze/engine/simt/launch.h"

#include "engine/simt/mutations.h"
#include "engine/thread_bits.h"
#include "gpus.h"

/// What the tests of ladders have in common.
namespace haze::test {

/// While it lives, calls on the emulated GPU run checked kernels, and count where `counting`.
struct CheckedRungs {
  explicit CheckedRungs(bool counting = false) {
    simt::set_checked(true);
    simt::set_counting(counting);
  }
  ~CheckedRungs() {
    simt::set_counting(false);
    simt::set_checked(false);
    simt::set_seed(1);
  }
};

/// Calls f(device) for each GPU: twice with fast kernels, and on the emulated one checked, under 5 seeds.
template <typename F>
void each_run(F&& f) {
  for (Device device : gpus()) {
    CAPTURE(name(device));
    for (int i = 0; i < 2; ++i) f(device);
  }
  const CheckedRungs checked;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    simt::set_seed(seed);
    f(Device::simt);
  }
}

/// Calls f(rung, device) for every rung of a ladder as each_run() does.
template <typename Ladder, typename F>
void each_rung(F&& f) {
  for (unsigned rung = 0; rung < std::size(Ladder::kRungs); ++rung) {
    CAPTURE(Ladder::kRungs[rung].name);
    each_run([&](Device device) { f(rung, device); });
  }
}

/// make(rung, device) gives the result of a rung, in the runs of each_run(). Each is handed to check(result).
/// All of a device have the same bits, except where the rung says that they need not.
template <typename Ladder, typename Make, typename Check>
void check_rungs(Make&& make, Check&& check) {
  std::map<std::pair<unsigned, Device>, Tensor> first;
  each_rung<Ladder>([&](unsigned rung, Device device) {
    const Tensor result = to(make(rung, device), Device::cpu);
    check(result);
    const Tensor& bits = first.try_emplace({rung, device}, result).first->second;
    if (Ladder::kRungs[rung].deterministic) CHECK(same_bits(result, bits));
  });
}

/// Checks that without any one of its barriers, a fault is found in a rung. The number of the barriers.
template <typename Ladder, typename F>
std::vector<size_t> barriers_of_rungs(F&& f) {
  std::vector<size_t> barriers;
  const CheckedRungs checked;
  for (unsigned rung = 0; rung < std::size(Ladder::kRungs); ++rung) {
    CAPTURE(Ladder::kRungs[rung].name);
    barriers.push_back(check_mutations([&] { f(rung); }));
  }
  return barriers;
}

/// The counts of the last launch that f(rung) makes, for every rung.
template <typename Ladder, typename F>
std::vector<simt::LaunchCounts> counts_of_rungs(F&& f) {
  std::vector<simt::LaunchCounts> counts;
  const CheckedRungs checked(true);
  for (unsigned rung = 0; rung < std::size(Ladder::kRungs); ++rung) {
    f(rung);
    counts.push_back(simt::last_counts());
  }
  return counts;
}

inline double sectors_a_request(const simt::LineCount& count) {
  return static_cast<double>(count.sectors) / static_cast<double>(count.requests);
}
inline double conflicts_a_request(const simt::LineCount& count) {
  return count.requests == 0 ? 0 : static_cast<double>(count.conflicts) / static_cast<double>(count.requests);
}

}  // namespace haze::test
