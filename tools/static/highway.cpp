// The part of Highway that Debian has as a shared library only: the processor's SIMD targets, and memory for
// sorting.
#include <algorithm>
#include <atomic>
#include <cstdlib>

#include <hwy/aligned_allocator.h>
#include <hwy/targets.h>

namespace hwy {
namespace {

std::atomic<int64_t> disabled_targets{0};

/// The targets of x86-64 that kernels are compiled for (engine/CMakeLists.txt) and this processor has.
int64_t processor_targets() {
  int64_t targets = HWY_STATIC_TARGET;
#if HWY_ARCH_X86_64
  __builtin_cpu_init();
  const auto has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi") &&
                        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt");
  if (has_avx2) targets |= HWY_AVX2;
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd")) {
    targets |= HWY_AVX3;
  }
#endif
  return targets;
}

}  // namespace

int64_t SupportedTargets() {
  const int64_t targets = processor_targets() & ~disabled_targets.load();
  return targets ? targets : HWY_STATIC_TARGET;
}

void DisableTargets(int64_t targets) {
  disabled_targets = targets;
  // What was chosen before is chosen again.
  GetChosenTarget().DeInit();
}

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

void* AllocateAlignedBytes(size_t bytes, AllocPtr allocate, void*) {
  if (allocate) return nullptr;  // sorting brings no allocator of its own
  const size_t whole = (std::max<size_t>(bytes, 1) + HWY_ALIGNMENT - 1) / HWY_ALIGNMENT * HWY_ALIGNMENT;
  return std::aligned_alloc(HWY_ALIGNMENT, whole);
}

void FreeAlignedBytes(const void* memory, FreePtr release, void* opaque) {
  if (release) return release(opaque, const_cast<void*>(memory));
  std::free(const_cast<void*>(memory));
}

}  // namespace hwy
