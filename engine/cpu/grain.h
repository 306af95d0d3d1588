#pragma once

#include <algorithm>
#include <cstdint>

#include "haze/engine/cpu/strided.h"

namespace haze {

/// Rows a piece of work has where each costs about `elements` elements: as much as a piece of
/// element-by-element work.
inline int64_t rows_per_piece(int64_t elements) {
  return std::max<int64_t>(1, kElementGrain / std::max<int64_t>(elements, 1));
}

}  // namespace haze
