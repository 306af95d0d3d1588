#include "haze/engine/cpu/cpu_backend.h"

namespace haze {

Backend& kernels(Device) {
  static CpuBackend instance;
  return instance;
}

}  // namespace haze
