#include "haze/engine/cpu/cpu_backend.h"

#include "haze/engine/cpu/instruction_set.h"

namespace haze {

CpuBackend::CpuBackend() {
  instruction_set();
}

Backend& kernels(Device) {
  static CpuBackend instance;
  return instance;
}

}  // namespace haze
