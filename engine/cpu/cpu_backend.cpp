#include "haze/engine/cpu/cpu_backend.h"

namespace haze {

Backend& backend(Device) {
  static CpuBackend instance;
  return instance;
}

}  // namespace haze
