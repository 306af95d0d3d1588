#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "haze/engine/device.h"

namespace haze {

struct BlockPool;

/// A block of memory, shared by the tensors that view it. Made by allocate(); goes back to the allocator's
/// cache with its last Storage handle.
struct Block {
  void* data = nullptr;
  size_t capacity = 0;  // bytes that its holder may use: those asked for, rounded up to their size class
  size_t bytes = 0;     // that were asked of the system, at least `capacity`
  int size_class = 0;   // of `bytes`
  int stream = 0;       // whose kernels use it
  BlockPool* pool = nullptr;  // to which it goes back; null: to the cache of its stream
  Device device = Device::cpu;
  std::atomic<int> references{0};
  std::atomic<uint32_t> version{0};              // how often an operation has written to it
  std::atomic<const char*> written_by{nullptr};  // the last operation that did
  // While it is cached:
  Block* newer = nullptr;  // the next one of its class that was freed
  Block* older = nullptr;
  uint64_t freed_at = 0;
};

/// Reference-counted handle of a Block.
class Storage {
 public:
  Storage() = default;
  explicit Storage(Block* block) : block_(block) { retain(); }
  // An empty handle may be part of a constant.
  constexpr Storage(const Storage& other) : block_(other.block_) {
    if (block_) retain();
  }
  constexpr Storage(Storage&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  constexpr Storage& operator=(Storage other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  constexpr ~Storage() {
    if (block_) release();
  }

  void* data() const { return block_ ? block_->data : nullptr; }
  size_t capacity() const { return block_ ? block_->capacity : 0; }
  /// The device whose memory it is; the cpu where there is none.
  Device device() const { return block_ ? block_->device : Device::cpu; }
  /// Number of handles on this block.
  int use_count() const { return block_ ? block_->references.load(std::memory_order_relaxed) : 0; }
  /// Grows with every operation that writes to this block, so that who keeps a tensor can tell whether it is
  /// still what it was.
  uint32_t version() const { return block_ ? block_->version.load(std::memory_order_relaxed) : 0; }
  /// The operation that wrote to this block last, a literal; null where none did.
  const char* written_by() const {
    return block_ ? block_->written_by.load(std::memory_order_relaxed) : nullptr;
  }
  /// `operation` must be a literal.
  void mark_written(const char* operation) const {
    if (!block_) return;
    block_->version.store(version() + 1, std::memory_order_relaxed);
    block_->written_by.store(operation, std::memory_order_relaxed);
  }
  /// The pool that the block belongs to (MemoryPool); null where there is none.
  const BlockPool* pool() const { return block_ ? block_->pool : nullptr; }
  constexpr explicit operator bool() const { return block_ != nullptr; }
  friend bool operator==(const Storage& a, const Storage& b) { return a.block_ == b.block_; }

 private:
  void retain() {
    if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release();

  Block* block_ = nullptr;
};

/// A block of at least `bytes` bytes, aligned to 64, for kernels of `stream` (caching_allocator.h; the cpu
/// has the one stream 0). Its contents are undefined. Throws Error where the system has no memory left.
Storage allocate(size_t bytes, Device device = Device::cpu, int stream = 0);

/// Memory set aside for one user, such as a graph, whose kernels hold addresses in it. A block of the pool
/// that is freed serves later requests of the pool, and no others. When the pool ends, its blocks go to the
/// common cache.
class MemoryPool {
 public:
  explicit MemoryPool(Device device);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  Device device() const { return device_; }
  /// Whether the block of the storage is the pool's.
  bool owns(const Storage& storage) const;
  /// A handle of each block that someone has a handle of.
  std::vector<Storage> in_use() const;

 private:
  friend class MemoryPoolScope;

  const Device device_;
  BlockPool* const blocks_;
};

/// While it lives, allocate() takes blocks from the pool, for this thread and on the pool's device. Scopes do
/// not nest.
class MemoryPoolScope {
 public:
  explicit MemoryPoolScope(const MemoryPool& pool);
  ~MemoryPoolScope();
  MemoryPoolScope(const MemoryPoolScope&) = delete;
  MemoryPoolScope& operator=(const MemoryPoolScope&) = delete;
};

/// The memory that the allocator holds, in bytes.
struct MemoryStatistics {
  size_t in_use = 0;          // that tensors asked for, each rounded up to its size class
  size_t peak = 0;            // largest in_use since reset_peak_memory()
  size_t held = 0;            // of the blocks that serve them, which may be larger (caching_allocator.h)
  size_t peak_held = 0;       // largest held since reset_peak_memory()
  size_t reserved = 0;        // asked of the system and not given back
  size_t pooled = 0;          // of these, in blocks that a MemoryPool holds and no tensor uses
  uint64_t system_calls = 0;  // how often the system was asked since the start
};

MemoryStatistics memory_statistics(Device device = Device::cpu);
void reset_peak_memory(Device device = Device::cpu);
/// Gives the cached free blocks back to the system. Throws Error while a MemoryPoolScope of the device lives.
void release_cached_memory(Device device = Device::cpu);

}  // namespace haze
