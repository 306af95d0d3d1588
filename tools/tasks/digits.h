#pragma once

#include "haze/tools/tasks/image_set.h"

namespace haze {

inline constexpr int64_t kDigitSide = 16;  // pixels

/// `count` images of the digits 0 to 9, white on black, 16 x 16 pixels with one channel; the label is the
/// digit, and each is equally likely. A pen writes every digit along lines and arcs, with anti-aliased edges.
/// Shift, slant, bend, width, height and thickness are drawn for each, uniformly. Image i depends on the
/// seed, the stream and i alone.
ImageSet draw_digits(int64_t count, uint64_t seed, uint64_t stream);

}  // namespace haze
