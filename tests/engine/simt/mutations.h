#pragma once

#include <set>
#include <string>

#include <doctest/doctest.h>

#include "haze/engine/simt/checker.h"

#include "error_of.h"

namespace haze::test {

/// Checks that f() has no fault, and has one without any of its barriers, fences and waits that `needed` does
/// not hold yet. Adds these to it.
template <typename F>
void check_mutations(F&& f, std::set<std::string>& needed) {
  simt::clear_barriers();
  REQUIRE(testing::error_of(f) == "");
  for (const std::string& barrier : std::set(simt::barriers_met())) {
    if (!needed.insert(barrier).second) continue;
    CAPTURE(barrier);
    simt::leave_out(barrier);
    const std::string fault = testing::error_of(f);
    simt::leave_out("");
    CHECK(fault != "");
  }
}
/// The number of them.
template <typename F>
size_t check_mutations(F&& f) {
  std::set<std::string> needed;
  check_mutations(f, needed);
  return needed.size();
}

}  // namespace haze::test
