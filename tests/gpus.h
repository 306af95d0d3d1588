#pragma once

#include <cstdlib>
#include <vector>

#include "haze/engine/device.h"

namespace haze::test {

/// Whether this machine has a GPU, and the build is for it. With HAZE_REQUIRE_GPU in the environment, as
/// tests/gpu.sh sets it, a GPU that cannot be used is an error.
inline bool has_gpu() {
  if (std::getenv("HAZE_REQUIRE_GPU")) runtime(Device::cuda);  // throws
  return is_available(Device::cuda);
}

/// The devices that run the kernels of engine/cuda here: the emulated GPU, and a GPU where there is one.
inline std::vector<Device> gpus() {
  std::vector<Device> result = {Device::simt};
  if (has_gpu()) result.push_back(Device::cuda);
  return result;
}

}  // namespace haze::test
