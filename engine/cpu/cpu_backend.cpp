#include "haze/engine/cpu/cpu_backend.h"

#include "haze/engine/cpu/instruction_set.h"

namespace haze {

CpuBackend::CpuBackend() {
  instruction_set();
}

Backend& backend(Device) {
  static CpuBackend instance;
  return instance;
}

}  // namespace haze
