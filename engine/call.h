#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "haze/engine/profile.h"
#include "haze/engine/simt/launch.h"
#include "haze/engine/tensor.h"

/// How an operation calls its kernel. A *call* is a struct of ops/ that holds all that a kernel gets.
/// Operands are contiguous or broadcast, their shapes and dtypes have been checked, and the results are
/// allocated. A call describes itself, so that profiles, the check of devices and the guarded device need no
/// list of operations:
///
///   struct AveragePool {
///     Tensor x;      // contiguous [batch, channels, height, width]
///     int64_t size;
///     Tensor out;    // contiguous [batch, channels, height / size, width / size]
///
///     const char* name() const { return "average_pool"; }
///     void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
///     void run(Cpu) const;   // cpu/images.cpp
///   };
///
/// A call may also have these members. The default is in parentheses:
/// - title(): its name in a profile (name());
/// - extents(): such as m, n and k of a product (none);
/// - flops(): its floating-point operations, a multiply-add counting as two (0: memory is the limit);
/// - multiplies_bfloat16(): whether its products are of bfloat16, or of operands rounded to it (no);
/// - bytes(): those that have to be moved (every operand once, an updated one twice).
namespace haze {

/// The kernels of a call for a GPU. Each file of cuda/ specialises these for its calls, in the two ways in
/// which it is compiled for the emulated GPU (simt/gpu_simt.h), and by nvcc for a real one where the build
/// has the device (HAZE_CUDA).
namespace gpu {
template <typename Call>
void run_kernels(const Call& call);
}
namespace fast {
template <typename Call>
void run_kernels(const Call& call);
}
namespace checked {
template <typename Call>
void run_kernels(const Call& call);
}

enum class Use : uint8_t { read, write, update };

namespace detail {

/// Bytes of what is stored: an element that broadcasting repeats counts once.
double stored_bytes(const Tensor& x);

/// The device of a call's operands. Throws Error where two of them lie on different devices, naming both.
class OperandDevice {
 public:
  explicit OperandDevice(const char* operation) : operation_(operation) {}
  void operator()(Use, const char* operand, const Tensor& x) {
    if (!x.defined()) return;
    if (!operand_) {
      operand_ = operand;
      device_ = x.device();
    } else if (x.device() != device_) {
      fail_differing(operand, x.device());
    }
  }
  Device device() const { return device_; }

 private:
  [[noreturn]] void fail_differing(const char* operand, Device device) const;

  const char* operation_;
  const char* operand_ = nullptr;
  Device device_ = Device::cpu;
};

/// Whether a graph is captured (graph_capture.h).
bool is_captured();
/// Tells the graph that is captured of an operand; `written_by` is null where it is only read.
void note_captured(const Tensor& x, const char* written_by);

/// x as the processor's kernels see it.
Tensor on_cpu(const Tensor& x);

template <typename Call>
double bytes_of(const Call& call) {
  if constexpr (requires { call.bytes(); }) {
    return call.bytes();
  } else {
    double bytes = 0;
    call.each_operand([&](Use use, const char*, const Tensor& x) {
      if (x.defined()) bytes += (use == Use::update ? 2 : 1) * stored_bytes(x);
    });
    return bytes;
  }
}

template <typename Call>
CallDescription describe(const Call& call) {
  CallDescription result{.operation = call.name(), .bytes = bytes_of(call)};
  if constexpr (requires { call.title(); }) result.operation = call.title();
  if constexpr (requires { call.extents(); }) result.extents = call.extents();
  if constexpr (requires { call.flops(); }) result.flops = call.flops();
  if constexpr (requires { call.multiplies_bfloat16(); }) result.bfloat16 = call.multiplies_bfloat16();
  return result;
}

template <typename Call>
void run_guarded(const Call& call) {
  Call relabelled = call;
  relabelled.each_operand([](Use, const char*, const Tensor& x) {
    if (x.defined()) const_cast<Tensor&>(x) = on_cpu(x);  // `relabelled` is not const
  });
  try {
    relabelled.run(Cpu{});
  } catch (const Error&) {
    runtime(Device::guarded).report(std::current_exception());
  }
}

template <typename Call>
void run_on(Device device, const Call& call) {
  visit_device(device, [&](auto each) {
    using Struct = decltype(each);
    if constexpr (std::is_same_v<Struct, Simt>) {
      simt::is_checked() ? checked::run_kernels(call) : fast::run_kernels(call);
#ifdef HAZE_CUDA
    } else if constexpr (std::is_same_v<Struct, Cuda>) {
      gpu::run_kernels(call);
#endif
    } else if constexpr (std::is_same_v<Struct, Guarded> && requires { call.run(Cpu{}); }) {
      run_guarded(call);
    } else if constexpr (requires { call.run(each); }) {
      call.run(each);
    } else {
      runtime(device);  // throws where this build has no such device
      fail("{}: there is no kernel for {}", call.name(), name(device));
    }
  });
}

}  // namespace detail

/// Runs the kernel of `call` on the device of its operands, and records it where a ProfileScope lives. Throws
/// Error where the operands lie on different devices.
template <typename Call>
void launch(const Call& call) {
  detail::OperandDevice check(call.name());
  call.each_operand(check);
  if (ProfileScope* const scope = ProfileScope::current()) {
    scope->record(detail::describe(call), check.device(), [&] { detail::run_on(check.device(), call); });
  } else {
    detail::run_on(check.device(), call);
  }
  call.each_operand([&](Use use, const char*, const Tensor& x) {
    if (use != Use::read && x.defined()) x.storage().mark_written(call.name());
  });
  if (detail::is_captured()) {
    call.each_operand([&](Use use, const char*, const Tensor& x) {
      if (x.defined()) detail::note_captured(x, use == Use::read ? nullptr : call.name());
    });
  }
}

}  // namespace haze
