#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "haze/engine/error.h"
#include "haze/engine/memory.h"

namespace haze {

/// Cached blocks: a list for each size class, in the order of freeing.
class FreeBlocks {
 public:
  // Multiples of 64 up to 512 bytes, then eight steps to each doubling.
  static constexpr int kStepsPerDoubling = 8;
  static constexpr int kSizeClasses = 64 * kStepsPerDoubling;

  Block* newest(int size_class) const { return lists_[static_cast<size_t>(size_class)].newest; }
  /// The one freed longest ago, of all classes.
  Block* oldest() const;
  void push(Block* block);
  void remove(Block* block);

 private:
  struct List {
    Block* newest = nullptr;
    Block* oldest = nullptr;
  };
  std::array<List, kSizeClasses> lists_{};
};

/// Thrown where the system has no memory left.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// The blocks of a MemoryPool.
struct BlockPool {
  FreeBlocks free;
  std::vector<Block*> all;
};

/// Memory of one device. A block that is freed stays in a cache and serves a later request; the system is
/// asked only where no cached block fits. Safe for any number of threads.
///
/// Batches of varying length ask for other sizes at every step, and a cache of exact sizes would keep blocks
/// of all of them. So a request may take a larger block than it needs, and before the system is asked for
/// more, the blocks freed longest ago go back to it. `reserved` stays under 1.4 times the largest in_use so
/// far, without what pools keep.
class CachingAllocator {
 public:
  /// `runtime` is where `device`'s memory comes from; it outlives the allocator.
  CachingAllocator(Device device, DeviceRuntime& runtime) : device_(device), runtime_(runtime) {}
  /// Every block must have been freed.
  ~CachingAllocator() { release_cached(); }
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  /// A block of at least `bytes` bytes on a 64-byte boundary, contents undefined, for kernels of `stream`
  /// (counted from 0). A stream gets only blocks that it freed itself: its kernels run in order, so whatever
  /// still reads the block runs first. Throws OutOfMemory where the system has no memory left even after the
  /// cache was emptied. A pool has blocks of its own; where they do not serve, the system is asked, and
  /// nothing is given back to it.
  Block* allocate(size_t bytes, int stream = 0, BlockPool* pool = nullptr);
  /// Into the cache of the block's stream or pool.
  void free(Block* block);

  BlockPool* open_pool();
  /// Its free blocks go to the caches of their streams, and the others when they are freed.
  void close_pool(BlockPool* pool);
  /// A handle of each block of the pool that someone has a handle of.
  std::vector<Storage> in_use(const BlockPool& pool);

  MemoryStatistics statistics();
  void reset_peak();
  /// Gives every cached block back to the system and forgets the largest in_use so far.
  void release_cached();

 private:
  static constexpr int kStepsPerDoubling = FreeBlocks::kStepsPerDoubling;
  static constexpr int kSizeClasses = FreeBlocks::kSizeClasses;
  // How far above its own class a request may take a block: four times as large, from 512 bytes on.
  static constexpr int kLargerClasses = 2 * kStepsPerDoubling;

  struct SizeClass {
    int index;
    size_t bytes;
  };

  static SizeClass size_class_of(size_t bytes);
  FreeBlocks& free_blocks(int stream);
  Block* take_cached(SizeClass size_class, FreeBlocks& blocks);
  bool worth_taking(const Block& block, size_t bytes) const;
  Block* ask_system(SizeClass size_class, bool may_release);
  size_t largest_in_use_with(size_t bytes) const;
  bool release_oldest();
  void release_all();
  [[noreturn]] void fail_out_of_memory(size_t bytes) const;

  const Device device_;
  DeviceRuntime& runtime_;
  std::mutex mutex_;
  std::vector<FreeBlocks> free_;                   // by stream
  std::vector<std::unique_ptr<BlockPool>> pools_;  // open ones
  MemoryStatistics statistics_;
  size_t largest_in_use_ = 0;  // unlike statistics_.peak, not lowered by reset_peak()
  uint64_t frees_ = 0;
};

}  // namespace haze
