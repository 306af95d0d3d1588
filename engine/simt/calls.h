#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "haze/engine/simt/launch.h"
#include "haze/engine/simt/registers.h"
#include "haze/engine/simt/tensor_cores.h"

/// The functions that kernels call, by way of the words of CUDA (gpu_simt.h). These functions stand in files
/// without hooks. Inline functions of the emulator would have hooks in a checked kernel, and watch
/// themselves.
namespace haze {
struct Refusal;
}

namespace haze::simt {

/// What threads do together. Those of a block wait for all its threads, the others for lanes of a warp.
enum class Collective : uint8_t {
  block_barrier,  // __syncthreads
  block_count,    // __syncthreads_count
  block_and,
  block_or,
  warp_barrier,  // __syncwarp
  shuffle,       // __shfl_sync: the value of lane `source`
  ballot,        // __ballot_sync: a bit for each lane whose value is not 0
  match_any,     // __match_any_sync: the lanes whose values are equal to one's own
  ldmatrix,      // the value is the address of a MatrixLoad
  mma,           // the value is the address of a MatrixProduct
};

/// The running thread waits until all that take part have arrived. `mask` holds the lanes that take part in a
/// collective of a warp. In a checked kernel, a barrier may be left out (checker.h).
uint64_t collective(bool checked, Collective what, uint32_t mask, uint64_t value, unsigned source,
                    std::source_location at);
/// Of the running thread in its warp.
unsigned lane();
/// threadIdx and the like of the running thread.
Registers special_registers();
/// `bytes` bytes of the block's shared memory, the same for every call with this tag. Contents undefined.
void* shared(const void* tag, const char* name, size_t bytes);
void* dynamic_shared();
/// __threadfence() of a checked kernel.
void fence(std::source_location at);
/// A checked kernel makes one access of `bytes` bytes: a vector's.
void vector_access(const void* address, size_t bytes, bool writes, const void* return_address);
void atomic_access(const void* address, size_t bytes, const void* return_address);
/// cp.async of a checked kernel: a copy of `valid` bytes, and zeros up to `bytes`, which happens when the
/// thread waits for it.
void copy_async(void* shared, const void* global, unsigned bytes, unsigned valid, const void* return_address);
void copy_async_commit();
/// Until at most `groups` groups of the running thread's copies are left. May be left out, as a barrier.
void copy_async_wait(unsigned groups, std::source_location at);
/// All lanes of a warp call these together.
void ldmatrix(bool checked, const MatrixLoad& load, const void* return_address, std::source_location at);
void mma(bool checked, const MatrixProduct& product, std::source_location at);
/// The slot in the emulated device's memory (refusal.h).
Refusal* refusal_slot();

}  // namespace haze::simt
