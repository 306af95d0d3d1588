#pragma once

#include "haze/engine/device.h"

namespace haze {

/// The processor's memory. Its kernels have run when they return, and throw what they find.
class CpuRuntime : public DeviceRuntime {
 public:
  /// Settles the instruction set that the kernels run on. Throws as instruction_set() does.
  CpuRuntime();

  void* allocate(size_t bytes) override;
  void free(void* memory) override;
  void copy_to_host(void* host, const void* device, size_t bytes) override;
  void copy_from_host(void* device, const void* host, size_t bytes) override;
  void synchronize() override {}
  void report(std::exception_ptr error) override { std::rethrow_exception(error); }
};

}  // namespace haze
