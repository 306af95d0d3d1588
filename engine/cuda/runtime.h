#pragma once

#include <cuda_runtime_api.h>

/// The functions of the device `cuda` for launches and libraries.
namespace haze::cuda {

/// The stream of all kernels and copies.
cudaStream_t stream();
/// Before a launch that wants more dynamic shared memory than kernels may have unasked. Throws Error where
/// the device has not that much.
void allow_shared_memory(const char* name, const void* kernel, size_t bytes);
/// After a launch: throws Error where the device refused it.
void check_launch(const char* name);

inline constexpr size_t kSharedUnasked = 48 << 10;

}  // namespace haze::cuda
