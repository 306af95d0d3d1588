#include "haze/engine/cuda/gpu.h"
#include "haze/tools/lab/puzzles/puzzle.h"

namespace haze::HAZE_KERNELS {
namespace {

/// A block of 32 x 8 threads turns a tile of 32 x 32 elements. Its rows are padded, so that a column does not
/// lie in one bank. They begin at multiples of 16 bytes.
__global__ void wide_tile(const float* x, float* out, int n) {
  SHARED(float, tile, [32][36]);
  const unsigned row = blockIdx.y * 32, column = blockIdx.x * 32;
  for (unsigned i = threadIdx.y; i < 32; i += 8) {
    tile[i][threadIdx.x] = x[(row + i) * n + column + threadIdx.x];
  }
  __syncthreads();
  for (unsigned j = threadIdx.y; j < 32; j += 8) {
    out[(column + j) * n + row + threadIdx.x] = tile[threadIdx.x][j];
  }
}

}  // namespace

template <>
void run_kernels(const puzzle::WideTile& call) {
  const auto n = static_cast<int>(call.x.size(0));
  const unsigned tiles = static_cast<unsigned>(n) / 32;
  launch_kernel(call.name(), wide_tile, {{tiles, tiles}, {32, 8}}, elements_of<const float>(call.x),
                elements_of<float>(call.out), n);
}

}  // namespace haze::HAZE_KERNELS
