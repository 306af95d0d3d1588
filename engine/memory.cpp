#include "haze/engine/memory.h"

#include "haze/engine/caching_allocator.h"
#include "haze/engine/error.h"

namespace haze {
namespace {

// Never destroyed: tensors with static storage duration may outlive any other order.
template <Device device>
CachingAllocator& allocator_of() {
  static auto* instance = new CachingAllocator(device, runtime(device));
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

Storage allocate(size_t bytes, Device device, int stream) {
  return Storage(allocator(device).allocate(bytes, stream));
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
