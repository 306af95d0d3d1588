#pragma once

#include "haze/tools/tasks/image_set.h"

namespace haze {

inline constexpr int64_t kDigitSide = 16;  // pixels

/// `count` images of the digits 0 to 9, white on black, 16 x 16 pixels with one channel; the label is the
/// digit, and each is equally likely. Every digit is written with a pen that follows lines and arcs, with a
/// shift, a slant, a bend, a width, a height and a thickness of its own, each uniform; its edges are
/// anti-aliased. Image i depends on the seed, the stream and i alone.
ImageSet draw_digits(int64_t count, uint64_t seed, uint64_t stream);

}  // namespace haze
