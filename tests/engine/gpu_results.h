#pragma once

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"
#include "engine/thread_bits.h"

/// What the tests of operations on the emulated GPU have in common.
namespace haze::test {

inline Tensor on_gpu(const Tensor& x) {
  return to(x, Device::simt);
}

inline Tensor wide(const Tensor& x) {
  return cast(x, Dtype::float64);
}

inline double largest_difference(const Tensor& x, const Tensor& y) {
  const auto a = x.to_vector<double>(), b = y.to_vector<double>();
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// The result of an operation on the emulated GPU, whose kernels it runs fast, and checked under so many
/// seeds.
template <typename F>
Tensor fast_and_checked(const F& operation, uint64_t seeds = 1) {
  const Tensor fast = to(operation(), Device::cpu);
  const CheckedRungs checked;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    simt::set_seed(seed);
    CHECK(same_bits(to(operation(), Device::cpu), fast));
  }
  return fast;
}

}  // namespace haze::test
