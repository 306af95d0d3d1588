#include "haze/engine/machine.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "haze/engine/cpu/gemm.h"
#include "haze/engine/cpu/instruction_set.h"
#include "haze/engine/cpu/machine_spans.h"
#include "haze/engine/parallel.h"

using namespace haze;

namespace {

MachineLimits limits_of(int count) {
  const int before = threads();
  set_threads(count);
  const MachineLimits limits = measure_machine_limits();
  set_threads(before);
  return limits;
}

// What else runs on the machine can only make a figure lower, so the best of several is the nearest to it.
MachineLimits best(const MachineLimits& a, const MachineLimits& b) {
  return {a.threads, std::max(a.fma_gflops, b.fma_gflops), std::max(a.copy_gbytes, b.copy_gbytes),
          std::max(a.l1_gbytes, b.l1_gbytes), std::max(a.l2_gbytes, b.l2_gbytes)};
}

bool nowhere_below(const MachineLimits& a, double share, const MachineLimits& b) {
  return a.fma_gflops > share * b.fma_gflops && a.copy_gbytes > share * b.copy_gbytes &&
         a.l1_gbytes > share * b.l1_gbytes && a.l2_gbytes > share * b.l2_gbytes;
}

}  // namespace

// tests/scripts/instruction_sets_test.sh runs this alone: nothing has chosen a level before.
TEST_CASE("limits by themselves are those of the level in use") {
  const int64_t operations_a_lane = 24, lanes = machine_spans().operations_a_round / operations_a_lane;
#if defined(__x86_64__)
  const int64_t of_baseline = 1;
#else
  const int64_t of_baseline = 4;
#endif
  switch (instruction_set()) {
    case InstructionSet::avx512:
      CHECK(lanes == 16);
      break;
    case InstructionSet::avx2:
      CHECK(lanes == 8);
      break;
    case InstructionSet::baseline:
      CHECK(lanes == of_baseline);
      break;
  }
}

TEST_CASE("the machine's measured limits are those of a machine") {
  const MachineLimits limits = limits_of(1);
  CHECK(limits.threads == 1);
  CHECK(limits.fma_gflops > 0.01);
  CHECK(limits.fma_gflops < 1280);  // four units of 16 lanes at 10 GHz
  CHECK(limits.copy_gbytes > 0.01);
  CHECK(limits.l1_gbytes > 0.01);
  CHECK(limits.l1_gbytes < 2560);  // two loads and two stores of 64 bytes at 10 GHz
  CHECK(limits.l2_gbytes > 0.01);
  CHECK(limits.l2_gbytes < 2560);
}

TEST_CASE("the processor multiplies bfloat16 itself where the kernels take pairs of them") {
  const bool has_products = multiplies_bfloat16();  // first, as it settles the level of instructions
  CHECK(has_products == (gemm_kernels<float, float>(Precision::bfloat16).depth_step > 1));
}

TEST_CASE("two threads together have limits no lower than those of one") {
  const MachineLimits one = limits_of(1);
  MachineLimits two = limits_of(2);
  for (int attempt = 0; attempt < 20 && !nowhere_below(two, 0.8, one); ++attempt)
    two = best(two, limits_of(2));
  CHECK(two.threads == 2);
  CHECK(two.fma_gflops > 0.8 * one.fma_gflops);
  CHECK(two.copy_gbytes > 0.8 * one.copy_gbytes);
  CHECK(two.l1_gbytes > 0.8 * one.l1_gbytes);
  CHECK(two.l2_gbytes > 0.8 * one.l2_gbytes);
}
