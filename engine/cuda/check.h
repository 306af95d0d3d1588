#pragma once

#include <cuda_runtime_api.h>

namespace haze::cuda {

/// Throws Error unless `error` is cudaSuccess: "cuda: {what}: {CUDA's own words}". A kernel's error is found
/// by whatever call comes after it, so the sentence names the last kernel that was launched, too.
void check(cudaError_t error, const char* what);

}  // namespace haze::cuda
