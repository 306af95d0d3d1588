#include "haze/engine/device.h"

#include <optional>
#include <vector>

#include <fmt/ranges.h>

#include "haze/engine/error.h"

namespace haze {

std::string_view name(Device device) {
  std::string_view result;
  visit_device(device, [&](auto each) { result = each.kName; });
  return result;
}

Device device_named(std::string_view name) {
  std::optional<Device> result;
  std::vector<std::string_view> names;
  each_device([&](auto each) {
    names.push_back(each.kName);
    if (each.kName == name) result = each.kDevice;
  });
  if (!result) fail("device {}: there is none of that name; there are {}", name, fmt::join(names, ", "));
  return *result;
}

DeviceRuntime& runtime(Device device) {
  DeviceRuntime* result = nullptr;
  visit_device(device, [&](auto each) {
    if constexpr (requires { each.runtime(); }) result = &each.runtime();
  });
  if (!result) fail("device {}: this build has none", name(device));
  return *result;
}

bool is_available(Device device) {
  try {
    runtime(device);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void synchronize(Device device) {
  runtime(device).synchronize();
}

}  // namespace haze
