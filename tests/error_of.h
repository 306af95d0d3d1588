#pragma once

#include <string>
#include <utility>

#include "haze/engine/error.h"

namespace haze::testing {

/// The sentence of the Error that `action` throws; "" where it throws none.
template <typename Action>
std::string error_of(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace haze::testing
