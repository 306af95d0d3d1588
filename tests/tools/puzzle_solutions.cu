#include "haze/engine/cuda/gpu.h"

#include "tools/puzzle_solutions.h"

namespace haze::HAZE_KERNELS {
namespace {

// Lane i reads what lane i + half wrote in the step before.
__global__ void last_warp(const float* x, float* sum) {
  SHARED(float, part, [256]);
  const unsigned i = threadIdx.x;
  part[i] = x[i];
  __syncthreads();
  for (unsigned half = 128; half > 32; half /= 2) {
    if (i < half) part[i] += part[i + half];
    __syncthreads();
  }
  if (i < 32) {
    for (unsigned half = 32; half > 0; half /= 2) {
      if (i < half) part[i] += part[i + half];
      __syncwarp();
    }
    if (i == 0) *sum = part[0];
  }
}

// Element (i, j) of a tile of 36 columns lies in bank (4 i + j) % 32: the same for four rows. 33 has no
// factor in common with 32.
__global__ void wide_tile(const float* x, float* out, int n) {
  SHARED(float, tile, [32][33]);
  const unsigned row = blockIdx.y * 32, column = blockIdx.x * 32;
  for (unsigned i = threadIdx.y; i < 32; i += 8) {
    tile[i][threadIdx.x] = x[(row + i) * n + column + threadIdx.x];
  }
  __syncthreads();
  for (unsigned j = threadIdx.y; j < 32; j += 8) {
    out[(column + j) * n + row + threadIdx.x] = tile[threadIdx.x][j];
  }
}

// Both blocks may read the sum before one of them writes it.
__global__ void two_blocks(const float* x, float* sum) {
  SHARED(float, part, [256]);
  const unsigned i = threadIdx.x;
  part[i] = x[blockIdx.x * 256 + i];
  __syncthreads();
  for (unsigned half = 128; half > 0; half /= 2) {
    if (i < half) part[i] += part[i + half];
    __syncthreads();
  }
  if (i == 0) atomicAdd(sum, part[0]);
}

}  // namespace

template <>
void run_kernels(const test::SolvedPuzzle& call) {
  const auto* const x = elements_of<const float>(call.x);
  auto* const out = elements_of<float>(call.out);
  if (call.number == 1) launch_kernel(call.name(), last_warp, {{1}, {256}}, x, out);
  if (call.number == 2) launch_kernel(call.name(), wide_tile, {{2, 2}, {32, 8}}, x, out, 64);
  if (call.number == 3) launch_kernel(call.name(), two_blocks, {{2}, {256}}, x, out);
}

}  // namespace haze::HAZE_KERNELS
