#include "haze/engine/cpu/machine.h"

#include <ctime>

#include <doctest/doctest.h>

#include "haze/engine/cpu/gemm/gemm.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/instruction_set.h"
#include "haze/engine/cpu/simd/machine_spans.h"

using namespace haze;

namespace {

MachineLimits limits_of(int count) {
  const int before = threads();
  set_threads(count);
  const MachineLimits limits = measure_machine_limits();
  set_threads(before);
  return limits;
}

double seconds_on(clockid_t clock) {
  timespec time{};
  REQUIRE(clock_gettime(clock, &time) == 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Seconds of processor time that all threads but the calling one take.
template <typename Work>
double seconds_of_other_threads(Work&& work) {
  const auto now = [] { return seconds_on(CLOCK_PROCESS_CPUTIME_ID) - seconds_on(CLOCK_THREAD_CPUTIME_ID); };
  const double before = now();
  work();
  return now() - before;
}

// No machine is faster, so a figure above these counts work that was not done.
constexpr double kMostGflops = 1280;  // four units of 16 lanes at 10 GHz
constexpr double kMostGbytes = 2560;  // two loads and two stores of 64 bytes at 10 GHz

// Holds no figure against another: a second job on the machine may slow either one.
void check_are_of_a_machine(const MachineLimits& limits) {
  CHECK(limits.fma_gflops > 0.01);
  CHECK(limits.fma_gflops < kMostGflops * limits.threads);
  CHECK(limits.bfloat16_gflops >= 0.5 * limits.fma_gflops);
  CHECK(limits.bfloat16_gflops < 8 * kMostGflops * limits.threads);
  for (const double gbytes : {limits.copy_gbytes, limits.l1_gbytes, limits.l2_gbytes}) {
    CHECK(gbytes > 0.01);
    CHECK(gbytes < kMostGbytes * limits.threads);
  }
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
  for (const int count : {1, 2}) {
    const MachineLimits limits = limits_of(count);
    CHECK(limits.threads == count);
    check_are_of_a_machine(limits);
  }
}

TEST_CASE("the processor multiplies bfloat16 itself where the kernels take pairs of them") {
  const bool has_products = multiplies_bfloat16();  // first, as it settles the instruction set
  CHECK(has_products == (gemm_kernels<float, float>(Precision::bfloat16).k_step > 1));
}

TEST_CASE("measuring the limits of two threads gives work to a second one") {
  // The second thread fills its half of 256 MiB, and copies from one half of that to the other at least once.
  // Another job on the machine can only lengthen that.
  constexpr double kFewestSeconds = 256.0 * 1024 * 1024 / (kMostGbytes * 1e9);
  CHECK(seconds_of_other_threads([] { limits_of(2); }) > kFewestSeconds);
}
