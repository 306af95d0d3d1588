#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace haze::simt {

/// Extents of a grid in blocks, or of a block in threads.
struct Extent {
  unsigned x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

/// A kernel with its arguments, to be called once by each thread of the grid.
struct Kernel {
  const char* name;
  void (*call)(const void* arguments);
  const void* arguments;
  size_t argument_bytes;
  bool checked;          // compiled with hooks: its memory accesses are watched
  const void* function;  // the kernel itself
};

struct LaunchShape {
  Extent grid, block;
  size_t dynamic_shared_bytes = 0;
};

/// The limits of the emulated device, which are those of compute capability 9.0 (CUDA C++ Programming Guide,
/// table "Technical specifications per compute capability").
inline constexpr uint64_t kMostThreads = 1024;  // of a block
inline constexpr Extent kMostBlocks{2147483647, 65535, 65535};
inline constexpr Extent kMostThreadsAlong{1024, 1024, 64};
inline constexpr size_t kMostSharedBytes = 227 << 10;  // of a block, static and dynamic
inline constexpr unsigned kWarp = 32;

/// Runs every thread of the grid to its end. A fast kernel has its blocks on the engine's threads
/// (parallel.h). A checked kernel runs on one, its blocks and threads in an order drawn from seed(). Throws
/// Error where the shape is beyond the device's limits, or where threads wait for others that never come. For
/// a checked kernel it does so too where a fault is found (checker.h).
void run(const Kernel& kernel, const LaunchShape& shape);

/// Where launches and other work of the emulated device are kept while a graph is captured; null: they run.
class Recording;
Recording* recording();

/// Does what a library does on the device between launches: at once, or when the graph that is captured is
/// replayed.
void run_in_order(std::function<void()> work);

/// Whether calls on the emulated device run their checked kernels. At first they do not.
void set_checked(bool checked);
bool is_checked();

/// With `count` > 0, a launch of a checked kernel runs at most so many of its blocks: one of each of `count`
/// equal parts of the grid, drawn from seed(). The others leave their results as they were, so that a result
/// is wrong, and memory of the device counts as initialised. If a later launch needs the results, run the
/// fast kernel first, on the same operands. 0, as at first: all blocks.
void set_sampled_blocks(uint64_t count);

/// Of the order in which checked kernels run.
void set_seed(uint64_t seed);
uint64_t seed();

}  // namespace haze::simt
