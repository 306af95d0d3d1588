#pragma once

#include "haze/engine/cpu/gemm/gemm.h"

/// Products of bfloat16 by AMX (Intel's advanced matrix extensions). AMX has eight registers of 16 rows of 64
/// bytes. Its instruction tdpbf16ps multiplies a tile of 16 x 32 by one of 32 x 16 and adds to 16 x 16 sums
/// in float32.
namespace haze::amx {

inline constexpr int64_t kRows = 32, kColumns = 32;
inline constexpr int64_t kPairs = 16;  // of bfloat16 in a row of a tile: 64 bytes

/// Whether this processor has AMX for bfloat16 and the system lets this process use it, which it is asked
/// once.
bool supported();

/// The processor's unit.
struct Processor {
  /// Gives the tiles of the calling thread their shapes, which another user of the unit may have changed.
  static void prepare();
  /// As gemm.h says, with another layout of a packed panel of rows: kRows rows, one after the other, each K
  /// elements long. These are `k_count` pairs, a multiple of kPairs. c gets kRows rows; `add` must be false.
  static void multiply(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t k_count,
                       float* c, int64_t c_stride, bool add);
  /// `rounds` times four products of tiles that do not wait for one another, to measure the unit's limit.
  static void keep_busy(int64_t rounds);
};
inline constexpr double kOperationsARound = 4.0 * 2 * 16 * 16 * 32;  // of keep_busy()

/// The same with tiles in ordinary memory, on any processor: how the layout is tested where there is no AMX.
struct Emulation {
  static void prepare() {}
  static void multiply(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t k_count,
                       float* c, int64_t c_stride, bool add);
};
/// The kernels that go with it.
const GemmKernels<float, float>& emulated_kernels();

/// multiply() in terms of a tile unit. Tiles has tiles i = 0..7 and the members zero(i), load(i, address,
/// bytes from row to row), dot(c, a, b) and store(i, address, bytes). There are two by two tiles of sums, so
/// each tile loaded is used twice.
template <class Tiles>
void multiply_by(Tiles& tiles, const float* a, const float* b, int64_t b_stride, int64_t k_count, float* c,
                 int64_t c_stride) {
  constexpr int64_t kBytes = sizeof(float);
  tiles.template zero<0>();
  tiles.template zero<1>();
  tiles.template zero<2>();
  tiles.template zero<3>();
  for (int64_t k = 0; k < k_count; k += kPairs) {
    tiles.template load<4>(a + k, k_count * kBytes);
    tiles.template load<5>(a + 16 * k_count + k, k_count * kBytes);
    tiles.template load<6>(b + k * b_stride, b_stride * kBytes);
    tiles.template load<7>(b + k * b_stride + 16, b_stride * kBytes);
    tiles.template dot<0, 4, 6>();
    tiles.template dot<1, 4, 7>();
    tiles.template dot<2, 5, 6>();
    tiles.template dot<3, 5, 7>();
  }
  tiles.template store<0>(c, c_stride * kBytes);
  tiles.template store<1>(c + 16, c_stride * kBytes);
  tiles.template store<2>(c + 16 * c_stride, c_stride * kBytes);
  tiles.template store<3>(c + 16 * c_stride + 16, c_stride * kBytes);
}

}  // namespace haze::amx
