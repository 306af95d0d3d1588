#include "haze/engine/cpu/simd/instruction_set.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include <hwy/targets.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

struct Level {
  InstructionSet set;
  int64_t target;  // Highway's: one bit, the lower the better
};

constexpr Level kLevels[] = {
#if HWY_ARCH_X86
    {InstructionSet::avx512, HWY_AVX3},
    {InstructionSet::avx2, HWY_AVX2},
#endif
    {InstructionSet::baseline, HWY_STATIC_TARGET},
};

bool processor_has(const Level& level) {
  return level.set == InstructionSet::baseline || (hwy::SupportedTargets() & level.target) != 0;
}

Level best_level() {
  for (const Level& level : kLevels) {
    if (processor_has(level)) return level;
  }
  fail("no kernel runs on this processor");
}

Level level_called(std::string_view wanted) {
  std::string names;
  for (const Level& level : kLevels) {
    if (name(level.set) != wanted) {
      names += (names.empty() ? "" : ", ") + std::string(name(level.set));
      continue;
    }
    if (!processor_has(level)) {
      fail("HAZE_CPU: this processor lacks {}; its best level is {}", wanted, name(best_level().set));
    }
    return level;
  }
  fail("HAZE_CPU: there is no level '{}'; it takes {}", wanted, names);
}

// Highway would take the best target; those better than the level are taken from it.
InstructionSet choose() {
  const char* wanted = std::getenv("HAZE_CPU");
  const Level level = wanted && *wanted ? level_called(wanted) : best_level();
  hwy::DisableTargets(level.target - 1);
  return level.set;
}

}  // namespace

const char* name(InstructionSet set) {
  constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};
  return kNames[static_cast<int>(set)];
}

InstructionSet instruction_set() {
  static const InstructionSet set = choose();
  return set;
}

}  // namespace haze
