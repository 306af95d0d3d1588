#include "haze/engine/cpu/runtime.h"

#include <cstdlib>
#include <cstring>

#include "haze/engine/cpu/simd/instruction_set.h"

namespace haze {

// Never destroyed: tensors with static storage duration may outlive any other order.
DeviceRuntime& Cpu::runtime() {
  static auto* instance = new CpuRuntime;
  return *instance;
}

CpuRuntime::CpuRuntime() {
  instruction_set();
}

void* CpuRuntime::allocate(size_t bytes) {
  constexpr size_t kAlignment = 64;
  return std::aligned_alloc(kAlignment, bytes);
}

void CpuRuntime::free(void* memory) {
  std::free(memory);
}

void CpuRuntime::copy_to_host(void* host, const void* device, size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void CpuRuntime::copy_from_host(void* device, const void* host, size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

}  // namespace haze
