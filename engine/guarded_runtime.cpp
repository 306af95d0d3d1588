#include "haze/engine/guarded_runtime.h"

#include <utility>

namespace haze {

// Never destroyed: tensors with static storage duration may outlive any other order.
DeviceRuntime& Guarded::runtime() {
  static auto* instance = new GuardedRuntime;
  return *instance;
}

void GuardedRuntime::copy_to_host(void* host, const void* device, size_t bytes) {
  synchronize();
  CpuRuntime::copy_to_host(host, device, bytes);
}

void GuardedRuntime::synchronize() {
  ++waits_;
  const std::exception_ptr error = [&] {
    const std::lock_guard lock(mutex_);
    return std::exchange(error_, nullptr);
  }();
  if (error) std::rethrow_exception(error);
}

void GuardedRuntime::report(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
}

}  // namespace haze
