#include "haze/engine/backend.h"

#include "haze/engine/profile.h"

namespace haze {

Backend& backend(Device device) {
  ProfileScope* const profiling = ProfileScope::current();
  return profiling ? profiling->backend() : kernels(device);
}

}  // namespace haze
