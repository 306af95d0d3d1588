#pragma once

#include "haze/engine/simt/launch.h"

/// Kernels with and without faults, for tests of the emulator. All have the arguments (in, out, n).
namespace haze {
namespace checked {
void start(const char* kernel, const simt::LaunchShape& shape, const float* in, float* out, int n);
void start_tensor(const char* kernel, const simt::LaunchShape& shape, const float* in, float* out, int n);
}  // namespace checked
namespace fast {
void start(const char* kernel, const simt::LaunchShape& shape, const float* in, float* out, int n);
void start_tensor(const char* kernel, const simt::LaunchShape& shape, const float* in, float* out, int n);
}  // namespace fast
}  // namespace haze
