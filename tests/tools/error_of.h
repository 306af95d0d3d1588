#pragma once

#include <functional>
#include <string>

#include "haze/engine/error.h"

namespace haze::testing {

/// The sentence of the Error that an action throws.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace haze::testing
