#include "haze/engine/memory.h"

#include "haze/engine/caching_allocator.h"
#include "haze/engine/memory_limit.h"

namespace haze {
namespace {

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
