#include "haze/engine/cpu/machine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <limits>

#include <hwy/aligned_allocator.h>

#include "haze/engine/cpu/gemm/bf16_amx.h"
#include "haze/engine/cpu/gemm/bf16_avx512.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/instruction_set.h"
#include "haze/engine/cpu/simd/machine_spans.h"
#include "haze/engine/error.h"

namespace haze {
namespace {

using Clock = std::chrono::steady_clock;
using Copy = void (*)(const float* x, float* out, int64_t count);

// Of the first core's cache of that number in the system's list, or `otherwise` where the list has no size.
int64_t cache_bytes(int index, int64_t otherwise) {
  std::ifstream file(
      fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", index));  // such as "32768K"
  int64_t kibibytes = 0;
  file >> kibibytes;
  return kibibytes > 0 ? kibibytes * 1024 : otherwise;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Calls work(thread) on `threads` threads at once, again and again for `budget` seconds; gives the seconds of
// the fastest pass.
template <typename Work>
double fastest_pass(int threads, double budget, Work&& work) {
  double fastest = std::numeric_limits<double>::infinity();
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
#pragma omp parallel num_threads(threads)
    work(omp_get_thread_num());
    fastest = std::min(fastest, seconds_since(start));
  } while (seconds_since(begin) < budget);
  return fastest;
}

double fma_gflops(int threads) {
  constexpr int64_t kRounds = 1 << 18;  // a millisecond, beside which starting the threads is little
  const MachineSpans& spans = machine_spans();
  const double seconds = fastest_pass(threads, 0.1, [&](int) { spans.multiply_adds(kRounds); });
  return static_cast<double>(threads * kRounds * spans.operations_a_round) / seconds * 1e-9;
}

double bfloat16_gflops(int threads) {
  constexpr int64_t kRounds = 1 << 16;
  const bool tiles = amx::supported();
  const double operations = tiles ? amx::kOperationsARound : avx512_bf16::kOperationsARound;
  const double seconds = fastest_pass(threads, 0.1, [&](int) {
    tiles ? amx::Processor::keep_busy(kRounds) : avx512_bf16::keep_busy(kRounds);
  });
  return static_cast<double>(threads * kRounds) * operations / seconds * 1e-9;
}

// Each thread copies `bytes` bytes between two arrays of its own, `repeats` times a pass.
double copy_gbytes(int threads, Copy copy, int64_t bytes, int64_t repeats, double budget) {
  const auto count = bytes / static_cast<int64_t>(sizeof(float));
  const auto arrays = hwy::AllocateAligned<float>(static_cast<size_t>(2 * count * threads));
  if (!arrays) fail("machine limits: no {} bytes of memory to copy", 2 * bytes * threads);
    // What was never written is one page of zeros, however often it is mapped, and would be read from the
    // cache.
#pragma omp parallel num_threads(threads)
  std::fill_n(arrays.get() + 2 * count * omp_get_thread_num(), 2 * count, 1.0F);
  const double seconds = fastest_pass(threads, budget, [&](int thread) {
    float* const own = arrays.get() + 2 * count * thread;
    for (int64_t i = 0; i < repeats; ++i) copy(own, own + count, count);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  });
  return static_cast<double>(2 * bytes * repeats * threads) / seconds * 1e-9;
}

}  // namespace

int64_t last_level_cache_bytes() {
  static const int64_t bytes = cache_bytes(3, 32 << 20);
  return bytes;
}

int64_t second_level_cache_bytes() {
  static const int64_t bytes = cache_bytes(2, 256 << 10);
  return bytes;
}

bool multiplies_bfloat16() {
  return instruction_set() == InstructionSet::avx512 && (amx::supported() || avx512_bf16::supported());
}

MachineLimits measure_machine_limits() {
  constexpr int64_t kKiB = 1024, kMemoryBytes = 128 * kKiB * kKiB;
  const int count = threads();
  const MachineSpans& spans = machine_spans();
  MachineLimits limits;
  limits.threads = count;
  limits.fma_gflops = fma_gflops(count);
  limits.bfloat16_gflops = multiplies_bfloat16() ? bfloat16_gflops(count) : limits.fma_gflops;
  limits.copy_gbytes = copy_gbytes(count, spans.copy_past_cache, kMemoryBytes / count, 1, 0.25);
  limits.l1_gbytes = copy_gbytes(count, spans.copy, 8 * kKiB, 10000, 0.05);
  limits.l2_bytes = second_level_cache_bytes();
  limits.l2_gbytes = copy_gbytes(count, spans.copy, 128 * kKiB, 500, 0.05);
  return limits;
}

}  // namespace haze
