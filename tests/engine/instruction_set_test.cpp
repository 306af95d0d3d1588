#include "haze/engine/cpu/simd/instruction_set.h"

#include <cstdlib>
#include <string>

#include <doctest/doctest.h>
#include <hwy/targets.h>

#include "haze/engine/ops.h"

using namespace haze;

TEST_CASE("instruction set: kernels run on the level that HAZE_CPU names") {
  const Tensor x = full({1}, 1 + 0x1p-12);
  const Tensor y = scale_shift(x, 1 + 0x1p-12, -1 - 0x1p-11);
  const InstructionSet set = instruction_set();
  const char* wanted = std::getenv("HAZE_CPU");
  if (wanted && *wanted) CHECK(std::string(name(set)) == wanted);
#if HWY_ARCH_X86
  // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24, whose last term only a fused multiply-add keeps.
  CHECK(y.item() == (set == InstructionSet::baseline ? 0 : 0x1p-24));
  const int64_t targets = hwy::SupportedTargets(), best = targets & -targets;
  CHECK((best == HWY_AVX3) == (set == InstructionSet::avx512));
  CHECK((best == HWY_AVX2) == (set == InstructionSet::avx2));
#endif
}
