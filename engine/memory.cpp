#include "haze/engine/memory.h"

#include "haze/engine/caching_allocator.h"
#include "haze/engine/error.h"
#include "haze/engine/memory_limit.h"

namespace haze {
namespace {

// That of the scope which lives on this thread.
thread_local Device pool_device = Device::cpu;
thread_local BlockPool* pool = nullptr;

CachingAllocator& allocator(Device device) {
  CachingAllocator* result = nullptr;
  visit_device(device, [&](auto each) {
    if constexpr (requires { each.runtime(); }) {
      // Never destroyed: tensors with static storage duration may outlive any other order.
      static auto* instance = new CachingAllocator(each.kDevice, each.runtime());
      result = instance;
    }
  });
  if (!result) runtime(device);  // throws: this build has none
  return *result;
}

}  // namespace

void Storage::release() {
  if (block_ && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    allocator(block_->device).free(block_);
  }
  block_ = nullptr;
}

Storage allocate(size_t bytes, Device device, int stream) {
  MemoryLimit::count(bytes);
  return Storage(allocator(device).allocate(bytes, stream, pool && pool_device == device ? pool : nullptr));
}

MemoryPool::MemoryPool(Device device) : device_(device), blocks_(allocator(device).open_pool()) {}

MemoryPool::~MemoryPool() {
  allocator(device_).close_pool(blocks_);
}

bool MemoryPool::owns(const Storage& storage) const {
  return storage.pool() == blocks_;
}

std::vector<Storage> MemoryPool::in_use() const {
  return allocator(device_).in_use(*blocks_);
}

MemoryPoolScope::MemoryPoolScope(const MemoryPool& owner) {
  if (pool) fail("memory: the scopes of two pools do not nest");
  pool_device = owner.device_;
  pool = owner.blocks_;
}

MemoryPoolScope::~MemoryPoolScope() {
  pool = nullptr;
}

MemoryStatistics memory_statistics(Device device) {
  return allocator(device).statistics();
}
void reset_peak_memory(Device device) {
  allocator(device).reset_peak();
}
void release_cached_memory(Device device) {
  if (pool && pool_device == device)
    fail("memory: none of {} is given back while a pool of it is in use", name(device));
  allocator(device).release_cached();
}

}  // namespace haze
