#include "haze/engine/cuda/gpu.h"
#include "haze/tools/lab/puzzles/puzzle.h"

namespace haze::HAZE_KERNELS {
namespace {

/// A block of 256 threads adds up 256 numbers. In each step, half as many threads add the other half's.
__global__ void last_warp(const float* x, float* sum) {
  SHARED(float, part, [256]);
  const unsigned i = threadIdx.x;
  part[i] = x[i];
  __syncthreads();
  for (unsigned half = 128; half > 32; half /= 2) {
    if (i < half) part[i] += part[i + half];
    __syncthreads();
  }
  // One warp is left. It needs no barrier of the block.
  if (i < 32) {
    for (unsigned half = 32; half > 0; half /= 2) {
      if (i < half) part[i] += part[i + half];
    }
    if (i == 0) *sum = part[0];
  }
}

}  // namespace

template <>
void run_kernels(const puzzle::LastWarp& call) {
  launch_kernel(call.name(), last_warp, {{1}, {256}}, elements_of<const float>(call.x),
                elements_of<float>(call.out));
}

}  // namespace haze::HAZE_KERNELS
