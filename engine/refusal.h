#pragma once

#include <cstdint>

/// How a kernel of a GPU says that it does not take a value that it has read, such as an index outside its
/// axis. It cannot throw. So it notes the first such value in a slot in the device's memory, and the host
/// throws when it waits for the device (DeviceRuntime::synchronize).
namespace haze {

struct Refusal {
  int32_t taken = 0;  // 1 as soon as a value has been noted
  const char* operation = nullptr;
  /// "{operation}: index {value} is outside an axis of extent {limit}": with these names, {position} and
  /// {number}. A literal of the host, as `operation` is, which kernels only pass on.
  const char* sentence = nullptr;
  int64_t value = 0, position = 0, limit = 0;
  double number = 0;
};

/// Throws the Error of a refusal that is taken.
void throw_if_taken(const Refusal& refusal);

}  // namespace haze
