#pragma once

#include <cstdint>
#include <vector>

#include <hwy/targets.h>

/// Kernels on each instruction set, one after the other.
namespace haze::test {

/// The target that every processor of this kind has: on x86-64, kernels of one element at a time.
#if HWY_ARCH_X86
inline constexpr int64_t kBaselineTarget = HWY_SCALAR;
#else
inline constexpr int64_t kBaselineTarget = HWY_STATIC_TARGET;
#endif

/// The instruction sets with vectors that kernels may be compiled for.
inline const std::vector<int64_t> kVectorTargets = {HWY_AVX3, HWY_AVX2, HWY_NEON};

/// Calls body(target) for those of `targets` that this processor has; kernels that it chooses are the
/// target's.
template <typename Body>
void for_each_target(const std::vector<int64_t>& targets, Body&& body) {
  const int64_t supported = hwy::SupportedTargets() | kBaselineTarget;
  for (int64_t target : targets) {
    if ((supported & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body(target);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace haze::test
