#pragma once

#include "haze/engine/simt/launch.h"

namespace haze::simt {

/// The special registers of the running thread: threadIdx, blockIdx, blockDim, gridDim.
struct Registers {
  Extent thread_index, block_index, block_extent, grid_extent;
};
extern thread_local constinit Registers registers;

}  // namespace haze::simt
