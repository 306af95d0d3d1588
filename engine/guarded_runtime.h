#pragma once

#include <atomic>
#include <mutex>

#include "haze/engine/cpu/runtime.h"

namespace haze {

/// The processor's memory. It keeps the first error until someone waits for the device, as a GPU does.
class GuardedRuntime final : public CpuRuntime {
 public:
  void copy_to_host(void* host, const void* device, size_t bytes) override;
  void synchronize() override;
  void report(std::exception_ptr error) override;

  /// How often the host has waited so far: each copy to the host waits, too.
  int64_t waits() const { return waits_; }

 private:
  std::atomic<int64_t> waits_{0};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace haze
