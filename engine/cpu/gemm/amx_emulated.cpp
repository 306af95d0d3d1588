#include <bit>
#include <cstring>

#include "haze/engine/cpu/gemm/bf16_amx.h"

namespace haze::amx {
namespace {

/// The eight tiles, laid out as Intel's manual describes them (Architecture instruction set extensions,
/// chapter 3); it adds in another order within a product and flushes subnormals, which this does not.
class EmulatedTiles {
 public:
  template <int kTile>
  void zero() {
    std::memset(tiles_[kTile], 0, sizeof(tiles_[kTile]));
  }
  template <int kTile>
  void load(const float* from, int64_t row_bytes) {
    for (int64_t r = 0; r < 16; ++r) {
      std::memcpy(tiles_[kTile][r], reinterpret_cast<const char*>(from) + r * row_bytes, 64);
    }
  }
  template <int kTile>
  void store(float* to, int64_t row_bytes) {
    for (int64_t r = 0; r < 16; ++r) {
      std::memcpy(reinterpret_cast<char*>(to) + r * row_bytes, tiles_[kTile][r], 64);
    }
  }
  // TDPBF16PS: rows of a are pairs along K, and row k of b holds the pairs of position k for each
  // column.
  template <int kSum, int kA, int kB>
  void dot() {
    for (int64_t m = 0; m < 16; ++m) {
      for (int64_t k = 0; k < 16; ++k) {
        for (int64_t n = 0; n < 16; ++n) {
          float& sum = tiles_[kSum][m][n];
          sum += half(tiles_[kA][m][k], 0) * half(tiles_[kB][k][n], 0);
          sum += half(tiles_[kA][m][k], 1) * half(tiles_[kB][k][n], 1);
        }
      }
    }
  }

 private:
  static float half(float pair, int which) {
    const uint32_t bits = std::bit_cast<uint32_t>(pair);
    return std::bit_cast<float>(which == 0 ? bits << 16 : bits & 0xFFFF0000u);
  }

  float tiles_[8][16][16];
};

}  // namespace

void Emulation::multiply(const float* a, int64_t, const float* b, int64_t b_stride, int64_t k_count, float* c,
                         int64_t c_stride, bool) {
  EmulatedTiles tiles;
  multiply_by(tiles, a, b, b_stride, k_count, c, c_stride);
}

}  // namespace haze::amx
