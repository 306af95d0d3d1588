#include <cstring>
#include <exception>
#include <utility>

#include "haze/engine/device.h"
#include "haze/engine/graph_capture.h"
#include "haze/engine/refusal.h"
#include "haze/engine/simt/calls.h"
#include "haze/engine/simt/checker.h"
#include "haze/engine/simt/recording.h"

namespace haze {
namespace {

/// Kernels have run when their launch returns, so there is nothing to wait for.
class SimtRuntime final : public DeviceRuntime {
 public:
  void* allocate(size_t bytes) override { return simt::allocate_device("global memory", bytes); }
  void free(void* memory) override { simt::free_device(memory); }
  void copy_to_host(void* host, const void* device, size_t bytes) override {
    synchronize();
    if (bytes > 0) std::memcpy(host, device, bytes);
  }
  void copy_from_host(void* device, const void* host, size_t bytes) override {
    if (bytes == 0) return;
    check_may_copy_from_host(Device::simt);
    std::memcpy(device, host, bytes);
    if (simt::is_checked()) simt::mark_initialised(device, bytes);
  }
  void synchronize() override {
    check_may_wait(Device::simt);
    throw_if_taken(std::exchange(*simt::refusal_slot(), {}));
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }
  void report(std::exception_ptr error) override {
    if (!error_) error_ = std::move(error);
  }
  bool begin_capture() override {
    simt::begin_recording();
    return true;
  }
  std::unique_ptr<RecordedWork> end_capture() override { return simt::end_recording(); }
  void abandon_capture() noexcept override { simt::end_recording(); }

 private:
  std::exception_ptr error_;
};

}  // namespace

namespace simt {

Refusal* refusal_slot() {
  static auto* const slot = [] {
    void* const memory = allocate_device("the slot of refusals", sizeof(Refusal));
    mark_initialised(memory, sizeof(Refusal));
    return new (memory) Refusal;
  }();
  return slot;
}

}  // namespace simt

// Never destroyed: tensors with static storage duration may outlive any other order.
DeviceRuntime& Simt::runtime() {
  static auto* instance = new SimtRuntime;
  return *instance;
}

}  // namespace haze
