#pragma once

#include <vector>

#include "haze/engine/device.h"

namespace haze::test {

/// The devices that run the kernels of engine/cuda here: the emulated GPU, and a GPU where this machine has
/// one and the build is for it.
inline std::vector<Device> gpus() {
  std::vector<Device> result = {Device::simt};
  if (is_available(Device::cuda)) result.push_back(Device::cuda);
  return result;
}

}  // namespace haze::test
