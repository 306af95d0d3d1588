#pragma once

#include <cstdint>

namespace haze {

/// The instruction sets that kernels are compiled for.
enum class InstructionSet : uint8_t { baseline, avx2, avx512 };

/// As it is written above.
const char* name(InstructionSet set);

/// The instruction set that all kernels run on: the highest that the processor has, or the one that the
/// environment variable HAZE_CPU names. Decided by the first call, which CpuRuntime and machine_spans() make
/// before any kernel is chosen. Throws Error where HAZE_CPU names none, or one that the processor lacks.
InstructionSet instruction_set();

}  // namespace haze
