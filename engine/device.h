#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <tuple>

namespace haze {

class DeviceRuntime;

/// The device that holds a tensor's memory and runs its kernels.
enum class Device : uint8_t { cpu, cuda, simt, guarded };

// ---- The devices: each is registered here, once, by a struct and its position in Devices -----------
// The struct is the argument of run(), by which a call's kernels for that device are overloaded (call.h). One
// without runtime() has a name that users may ask for, and this build lacks it.

struct Cpu {
  static constexpr Device kDevice = Device::cpu;
  static constexpr std::string_view kName = "cpu";
  static DeviceRuntime& runtime();  // cpu/runtime.cpp
};

struct Cuda {
  static constexpr Device kDevice = Device::cuda;
  static constexpr std::string_view kName = "cuda";
#ifdef HAZE_CUDA
  static DeviceRuntime& runtime();  // cuda/runtime.cpp
#endif
};

/// A GPU that the processor emulates (simt/): the kernels of cuda/ compiled for it.
struct Simt {
  static constexpr Device kDevice = Device::simt;
  static constexpr std::string_view kName = "simt";
  static DeviceRuntime& runtime();  // simt/runtime.cpp
};

/// The processor's kernels behind memory that the host must not touch: what runs here reads no device memory
/// behind the back of item(), to_vector() and to(), and so would run on a GPU.
struct Guarded {
  static constexpr Device kDevice = Device::guarded;
  static constexpr std::string_view kName = "guarded";
  static DeviceRuntime& runtime();  // guarded_runtime.cpp
};

using Devices = std::tuple<Cpu, Cuda, Simt, Guarded>;

/// Calls f with the struct of each device.
template <typename F>
void each_device(F&& f) {
  std::apply([&](auto... each) { (f(each), ...); }, Devices{});
}

/// Calls f with the struct of `device`.
template <typename F>
void visit_device(Device device, F&& f) {
  each_device([&](auto each) {
    if (each.kDevice == device) f(each);
  });
}

// ---- What every device does ------------------------------------------------------------------------

std::string_view name(Device device);
/// The device of that name. Throws Error where there is none, naming those there are.
Device device_named(std::string_view name);

/// Kernels of a device with their arguments, in the order in which they were called: what a graph holds
/// (graph.h).
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  /// Runs them behind everything that was called before. Does not wait.
  virtual void run() = 0;
  /// How many there are.
  virtual int64_t size() const = 0;
};

/// The duties of a device besides running kernels: memory, copies to and from the host, and waiting.
class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;

  /// Memory on a 64-byte boundary; null where none is left.
  virtual void* allocate(size_t bytes) = 0;
  virtual void free(void* memory) = 0;
  /// Returns when the copy is done.
  virtual void copy_to_host(void* host, const void* device, size_t bytes) = 0;
  /// Returns when `host` may be changed.
  virtual void copy_from_host(void* device, const void* host, size_t bytes) = 0;
  /// Waits until every kernel has run, then throws the first error that one of them reported since the last
  /// call.
  virtual void synchronize() = 0;
  /// Keeps a kernel's error for synchronize(): a bad value that it read, such as an index outside its axis.
  virtual void report(std::exception_ptr error) = 0;

  /// From here to the end of the capture, kernels are recorded and do not run. False where the device has no
  /// graphs.
  virtual bool begin_capture() { return false; }
  virtual std::unique_ptr<RecordedWork> end_capture() { return nullptr; }
  /// Ends a capture that nobody wants.
  virtual void abandon_capture() noexcept {}
};

/// Throws Error where this build has no such device, or this machine has none that it can use.
DeviceRuntime& runtime(Device device);
/// Whether runtime() would not throw.
bool is_available(Device device);
/// Waits until every kernel called on the device has run. Throws Error where one of them read a value that it
/// does not take; the sentence begins with the operation's name.
void synchronize(Device device);

}  // namespace haze
