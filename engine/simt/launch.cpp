#include "haze/engine/simt/launch.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/error.h"
#include "haze/engine/simt/block.h"
#include "haze/engine/simt/checker.h"
#include "haze/engine/simt/recording.h"

namespace haze::simt {
namespace {

uint64_t seed_of_order = 1;
bool runs_checked = false;
uint64_t sampled_blocks = 0;

void check_shape(const Kernel& kernel, const LaunchShape& shape) {
  const auto check = [&](const char* what, const Extent& extent, const Extent& most) {
    if (extent.x >= 1 && extent.x <= most.x && extent.y >= 1 && extent.y <= most.y && extent.z >= 1 &&
        extent.z <= most.z) {
      return;
    }
    fail("kernel {}: {} of {} x {} x {}; the device takes 1 to {} x {} x {}", kernel.name, what, extent.x,
         extent.y, extent.z, most.x, most.y, most.z);
  };
  check("a grid", shape.grid, kMostBlocks);
  check("a block", shape.block, kMostThreadsAlong);
  if (shape.block.count() > kMostThreads) {
    fail("kernel {}: {} threads a block; the device takes {}", kernel.name, shape.block.count(),
         kMostThreads);
  }
  if (shape.dynamic_shared_bytes > kMostSharedBytes) {
    fail("kernel {}: {} bytes of dynamic shared memory; the device has {}", kernel.name,
         shape.dynamic_shared_bytes, kMostSharedBytes);
  }
}

// The blocks of a checked launch, in their order.
std::vector<uint64_t> blocks_to_run(uint64_t count) {
  std::mt19937_64 order(seed_of_order);
  const bool samples = sampled_blocks > 0 && sampled_blocks < count;
  std::vector<uint64_t> blocks(samples ? sampled_blocks : count);
  std::iota(blocks.begin(), blocks.end(), uint64_t{0});
  if (samples) {
    for (uint64_t& block : blocks) {
      const uint64_t first = block * count / sampled_blocks, end = (block + 1) * count / sampled_blocks;
      block = std::uniform_int_distribution<uint64_t>(first, end - 1)(order);
    }
  }
  std::shuffle(blocks.begin(), blocks.end(), order);
  return blocks;
}

void run_checked(const Kernel& kernel, const LaunchShape& shape) {
  const std::vector<uint64_t> blocks = blocks_to_run(shape.grid.count());
  if (blocks.size() < shape.grid.count()) trust_device_memory();
  Checker checker(kernel, shape);
  Block block(kernel, shape, &checker);
  for (const uint64_t number : blocks) {
    block.play(number);
    checker.end_block();
  }
}

void run_fast(const Kernel& kernel, const LaunchShape& shape) {
  const auto blocks = static_cast<int64_t>(shape.grid.count());
  const auto workers = static_cast<int>(std::min<int64_t>(threads(), blocks));
  std::exception_ptr thrown;
#pragma omp parallel num_threads(workers)
  {
    Block block(kernel, shape, nullptr);
#pragma omp for schedule(dynamic)
    for (int64_t number = 0; number < blocks; ++number) {
      try {
        block.play(static_cast<uint64_t>(number));
      } catch (...) {
#pragma omp critical(haze_simt_fault)
        if (!thrown) thrown = std::current_exception();
      }
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace

void run(const Kernel& kernel, const LaunchShape& shape) {
  check_shape(kernel, shape);
  if (Recording* const kept = recording()) {
    kept->add(kernel, shape);
  } else if (kernel.checked) {
    run_checked(kernel, shape);
  } else {
    run_fast(kernel, shape);
  }
}

void set_checked(bool checked) {
  if (checked && !runs_checked) trust_device_memory();
  runs_checked = checked;
}
bool is_checked() {
  return runs_checked;
}

void set_sampled_blocks(uint64_t count) {
  sampled_blocks = count;
}

void set_seed(uint64_t seed) {
  seed_of_order = seed;
}
uint64_t seed() {
  return seed_of_order;
}

}  // namespace haze::simt
