#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "haze/engine/dtype.h"

namespace haze {

/// A number of one element type as one of another: see cast() in ops.h.
template <typename X, typename Y>
Y converted(X value) {
  if constexpr (std::is_same_v<X, Y>) {
    return value;
  } else if constexpr (std::is_same_v<X, bfloat16>) {
    return converted<float, Y>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<Y, bfloat16>) {
    return bfloat16(static_cast<float>(value));
  } else if constexpr (std::is_integral_v<Y>) {  // to the nearest that there is; C++ leaves the rest
                                                 // undefined
    const auto wide = static_cast<double>(value);
    if (std::isnan(wide)) return Y{0};
    return static_cast<Y>(std::clamp(wide, static_cast<double>(std::numeric_limits<Y>::min()),
                                     static_cast<double>(std::numeric_limits<Y>::max())));
  } else {
    return static_cast<Y>(value);
  }
}

}  // namespace haze
