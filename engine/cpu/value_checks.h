#pragma once

#include <algorithm>

#include "haze/engine/tensor.h"

namespace haze {

/// Looks at all of `indices`, contiguous int32, before a kernel writes anything. Throws Error, naming
/// `operation`, where one is not in [0, extent).
inline void check_indices(const char* operation, const Tensor& indices, int64_t extent) {
  const int32_t* first = indices.data<int32_t>();
  const int32_t* last = first + indices.elements();
  const auto outside = std::find_if(first, last, [extent](int32_t i) { return i < 0 || i >= extent; });
  if (outside != last) fail("{}: index {} is outside an axis of extent {}", operation, *outside, extent);
}

}  // namespace haze
