#pragma once

#include <iterator>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/simt/counters.h"
#include "haze/engine/simt/launch.h"

#include "engine/simt/mutations.h"
#include "engine/thread_bits.h"

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

/// Calls f(rung) for every rung of a ladder: with its fast kernel, and checked under 5 seeds.
template <typename Ladder, typename F>
void each_rung(F&& f) {
  for (unsigned rung = 0; rung < std::size(Ladder::kRungs); ++rung) {
    CAPTURE(Ladder::kRungs[rung].name);
    f(rung);
    const CheckedRungs checked;
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      CAPTURE(seed);
      simt::set_seed(seed);
      f(rung);
    }
  }
}

/// make(rung) gives the result of a rung: with its fast kernel, and checked under 5 seeds. Each is handed to
/// check(result). All have the same bits, except where the rung says that they need not.
template <typename Ladder, typename Make, typename Check>
void check_rungs(Make&& make, Check&& check) {
  std::vector<Tensor> first(std::size(Ladder::kRungs));
  each_rung<Ladder>([&](unsigned rung) {
    const Tensor result = to(make(rung), Device::cpu);
    check(result);
    if (!first[rung].defined()) first[rung] = result;
    if (Ladder::kRungs[rung].deterministic) CHECK(same_bits(result, first[rung]));
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
