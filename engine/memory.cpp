#include "haze/engine/memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <mutex>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr size_t kAlignment = 64;
constexpr int kStepsPerDoubling = 8;  // a block is at most 12.5% larger than what was asked for
constexpr int kSizeClasses = 64 * kStepsPerDoubling;

struct SizeClass {
  int index;
  size_t bytes;
};

// Multiples of 64 up to 512 bytes, then eight steps a doubling.
SizeClass size_class_of(size_t bytes) {
  const size_t units = bytes == 0 ? 1 : (bytes + kAlignment - 1) / kAlignment;
  if (units <= kStepsPerDoubling) return {static_cast<int>(units) - 1, units * kAlignment};
  const int shift = std::bit_width(units - 1) - std::bit_width(static_cast<size_t>(kStepsPerDoubling));
  const size_t step = size_t{1} << shift;
  const size_t rounded = (units + step - 1) / step * step;
  const int top_shift = std::bit_width(rounded) - std::bit_width(static_cast<size_t>(kStepsPerDoubling));
  const auto mantissa = static_cast<int>(rounded >> top_shift) - kStepsPerDoubling;
  return {kStepsPerDoubling * (top_shift + 1) + mantissa - 1, rounded * kAlignment};
}

class CachingAllocator {
 public:
  explicit CachingAllocator(Device device) : device_(device), runtime_(runtime(device)) {}

  Block* allocate(size_t bytes) {
    if (bytes > SIZE_MAX / 2) fail("out of memory: {} bytes asked for", bytes);
    const SizeClass size_class = size_class_of(bytes);
    const std::lock_guard lock(mutex_);
    Block*& free_list = free_[size_class.index];
    Block* block = free_list;
    if (block) {
      free_list = block->next_free;
    } else {
      block = ask_system(size_class);
    }
    statistics_.in_use += block->capacity;
    statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
    return block;
  }

  void free(Block* block) {
    const std::lock_guard lock(mutex_);
    statistics_.in_use -= block->capacity;
    block->next_free = free_[block->size_class];
    free_[block->size_class] = block;
  }

  void release_cached() {
    const std::lock_guard lock(mutex_);
    release_free_blocks();
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    statistics_.peak = statistics_.in_use;
  }

  MemoryStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  Block* ask_system(SizeClass size_class) {
    auto block = std::make_unique<Block>();
    void* data = runtime_.allocate(size_class.bytes);
    if (!data) {
      release_free_blocks();
      data = runtime_.allocate(size_class.bytes);
    }
    if (!data) fail("out of memory: {} bytes asked for with {} in use", size_class.bytes, statistics_.in_use);
    block->data = data;
    block->capacity = size_class.bytes;
    block->size_class = size_class.index;
    block->device = device_;
    statistics_.reserved += size_class.bytes;
    ++statistics_.system_calls;
    return block.release();
  }

  void release_free_blocks() {
    for (Block*& list : free_) {
      while (Block* block = list) {
        list = block->next_free;
        statistics_.reserved -= block->capacity;
        runtime_.free(block->data);
        delete block;
      }
    }
  }

  const Device device_;
  DeviceRuntime& runtime_;
  std::mutex mutex_;
  std::array<Block*, kSizeClasses> free_{};
  MemoryStatistics statistics_;
};

// Never destroyed: tensors with static storage duration may outlive any other order.
template <Device device>
CachingAllocator& allocator_of() {
  static auto* instance = new CachingAllocator(device);
  return *instance;
}

CachingAllocator& allocator(Device device) {
  switch (device) {
    case Device::cpu:
      return allocator_of<Device::cpu>();
    case Device::guarded:
      return allocator_of<Device::guarded>();
    default:
      runtime(device);  // throws: this build has none
      fail("device {}: no allocator", name(device));
  }
}

}  // namespace

void Storage::release() {
  if (block_ && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    allocator(block_->device).free(block_);
  }
  block_ = nullptr;
}

Storage allocate(size_t bytes, Device device) {
  return Storage(allocator(device).allocate(bytes));
}
MemoryStatistics memory_statistics(Device device) {
  return allocator(device).statistics();
}
void reset_peak_memory(Device device) {
  allocator(device).reset_peak();
}
void release_cached_memory(Device device) {
  allocator(device).release_cached();
}

}  // namespace haze
