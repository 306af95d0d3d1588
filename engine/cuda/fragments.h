#pragma once

#include <bit>
#include <cstdint>

#include "haze/engine/dtype.h"
#include "haze/engine/host_device.h"

/// Tensor cores multiply matrices that a warp holds in its registers. Each lane has some elements of a
/// matrix, its *fragment*. Which ones these are is laid down by the PTX ISA, "Matrix fragments for
/// mma.m16n8k16 with floating point type" and "... mma.m16n8k8". An element is 16 bits (bfloat16, two a word)
/// or 32 (tfloat32).
///
/// A matrix is read in parts of 8 rows of 16 bytes. Lane i has the word i % 4 of row i / 4 of a part:
///
///   a  [16, 32 bytes]: words[0] upper left part, [1] lower left, [2] upper right, [3] lower right
///   b  [32 bytes, 8]:  the same with its columns as rows: words[0] the first 16 bytes of K, [1] the others
///   c  [16, 8] float32: values[0], [1] in row i / 4 and columns 2 (i % 4) and the next; [2], [3] 8 rows
///   below
namespace haze {

/// float32 with 10 bits of mantissa, in the upper 19 bits of a word.
struct tfloat32 {
  uint32_t bits = 0;
};

/// Of a: [16, 16] of bfloat16 or [16, 8] of tfloat32.
template <typename T>
struct FragmentA {
  uint32_t words[4];
};
/// Of b: [16, 8] of bfloat16 or [8, 8] of tfloat32.
template <typename T>
struct FragmentB {
  uint32_t words[2];
};
/// Of c: the sums.
struct FragmentC {
  float values[4] = {};

  /// Where values[i] of a lane lies in c.
  HAZE_HOST_DEVICE static constexpr unsigned row(unsigned lane, unsigned i) { return lane / 4 + i / 2 * 8; }
  HAZE_HOST_DEVICE static constexpr unsigned column(unsigned lane, unsigned i) {
    return lane % 4 * 2 + i % 2;
  }
};

/// Two bfloat16 in a word, the first in its lower half.
HAZE_HOST_DEVICE inline uint32_t packed(bfloat16 first, bfloat16 second) {
  return first.bits | static_cast<uint32_t>(second.bits) << 16;
}

}  // namespace haze
