#include "haze/engine/device.h"

#include <array>
#include <mutex>
#include <utility>

#include <fmt/ranges.h>

#include "haze/engine/cpu/runtime.h"
#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr std::array<std::string_view, kDevices> kNames = {"cpu", "cuda", "guarded"};

// Keeps the first error until someone waits for the device, as a GPU does.
class GuardedRuntime final : public CpuRuntime {
 public:
  void copy_to_host(void* host, const void* device, size_t bytes) override {
    synchronize();
    CpuRuntime::copy_to_host(host, device, bytes);
  }
  void synchronize() override {
    const std::exception_ptr error = [&] {
      const std::lock_guard lock(mutex_);
      return std::exchange(error_, nullptr);
    }();
    if (error) std::rethrow_exception(error);
  }
  void report(std::exception_ptr error) override {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

std::string_view name(Device device) {
  return kNames[static_cast<size_t>(device)];
}

Device device_named(std::string_view name) {
  for (size_t i = 0; i < kDevices; ++i) {
    if (kNames[i] == name) return static_cast<Device>(i);
  }
  fail("device {}: there is none of that name; there are {}", name, fmt::join(kNames, ", "));
}

// Never destroyed: tensors with static storage duration may outlive any other order.
DeviceRuntime& runtime(Device device) {
  static auto* cpu = new CpuRuntime;
  static auto* guarded = new GuardedRuntime;
  switch (device) {
    case Device::cpu:
      return *cpu;
    case Device::guarded:
      return *guarded;
    case Device::cuda:
    case Device::kCount:
      break;
  }
  fail("device {}: this build has none", name(device));
}

void synchronize(Device device) {
  runtime(device).synchronize();
}

}  // namespace haze
