#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// What a kernel computes with: the units of a GPU have peaks of their own.
enum class Arithmetic : uint8_t {
  float32,   // multiply-adds of the threads themselves
  tf32,      // tensor cores: float32 rounded to 10 bits of mantissa
  bfloat16,  // tensor cores, accumulating in float32
};

/// The limits of a GPU, by its data sheet.
struct Gpu {
  std::string name, title;
  int multiprocessors;
  double clock;                    // Hz, boost
  double float32, tf32, bfloat16;  // operations a second; a multiply-add counts as two; dense matrices
  double memory_bandwidth;         // bytes a second
  double cache_bandwidth;          // bytes a second from the second-level cache
  double memory_bytes;             // of the device
  // Of a multiprocessor:
  unsigned threads, blocks, registers;  // at most resident at a time
  unsigned shared_bytes;                // of all its blocks

  double peak(Arithmetic arithmetic) const;
};

/// The GPUs that `haze lab` knows.
const std::vector<Gpu>& gpus();
/// Throws Error, naming those there are, where there is none of that name.
const Gpu& gpu_named(std::string_view name);

/// What a block of a kernel needs of its multiprocessor.
struct BlockNeeds {
  unsigned threads = 1;
  unsigned registers = 0;     // of a thread
  unsigned shared_bytes = 0;  // static and dynamic
};

/// The share of a multiprocessor's threads that are resident when only this kernel runs: 0, where not even
/// one block fits, to 1. The rules are those of the CUDA Occupancy Calculator for compute capability 8.0
/// to 9.0. Warps get registers, 256 at a time, from four parts of the register file. A block's shared memory
/// is rounded up to 128 bytes, after 1 KiB for the system.
double occupancy(const Gpu& gpu, const BlockNeeds& needs);

}  // namespace haze
