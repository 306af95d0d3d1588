#pragma once

#include <algorithm>
#include <cstdint>

#include "haze/engine/cpu/strided.h"

namespace haze {

/// Rows that a task has where each costs about `elements` elements: as much as a task of
/// element-by-element work.
inline int64_t rows_per_task(int64_t elements) {
  return std::max<int64_t>(1, kElementGrain / std::max<int64_t>(elements, 1));
}

}  // namespace haze
