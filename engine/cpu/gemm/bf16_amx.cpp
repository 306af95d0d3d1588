#include "haze/engine/cpu/gemm/bf16_amx.h"

#include <utility>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace haze::amx {

#if defined(__x86_64__) && defined(__linux__)

namespace {

// What ldtilecfg reads: every tile has 16 rows of 64 bytes.
struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);

/// The processor's own tiles. Their numbers are part of the instructions; the compiler's intrinsics take them
/// as literals only, which a template has none of.
struct Tiles {
  template <int kTile>
  void zero() {
    asm volatile("tilezero %%tmm%c[tile]" ::[tile] "i"(kTile));
  }
  template <int kTile>
  void load(const float* from, int64_t row_bytes) {
    asm volatile("tileloadd (%[from],%[step],1), %%tmm%c[tile]" ::[from] "r"(from), [step] "r"(row_bytes),
                 [tile] "i"(kTile)
                 : "memory");
  }
  template <int kSum, int kA, int kB>
  void dot() {
    asm volatile(
        "tdpbf16ps %%tmm%c[b], %%tmm%c[a], %%tmm%c[sum]" ::[b] "i"(kB), [a] "i"(kA), [sum] "i"(kSum));
  }
  template <int kTile>
  void store(float* to, int64_t row_bytes) {
    asm volatile(
        "tilestored %%tmm%c[tile], (%[to],%[step],1)" ::[to] "r"(to), [step] "r"(row_bytes), [tile] "i"(kTile)
        : "memory");
  }
};

bool processor_has_amx_bf16() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;  // CPUID leaf 7, EDX
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kAmxBf16) && (d & kAmxTile);
}

// The registers are large, so Linux saves them only for processes that have asked for them.
bool system_allows_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool supported() {
  static const bool both = processor_has_amx_bf16() && system_allows_tiles();
  return both;
}

void Processor::prepare() {
  const TileConfiguration configuration;
  asm volatile("ldtilecfg %0" ::"m"(configuration));
}

void Processor::multiply(const float* a, int64_t, const float* b, int64_t b_stride, int64_t k_count, float* c,
                         int64_t c_stride, bool) {
  Tiles tiles;
  multiply_by(tiles, a, b, b_stride, k_count, c, c_stride);
}

void Processor::keep_busy(int64_t rounds) {
  prepare();
  Tiles tiles;
  const auto zero_all = [&]<int... kTile>(std::integer_sequence<int, kTile...>) {
    (tiles.zero<kTile>(), ...);
  };
  zero_all(std::make_integer_sequence<int, 8>());
  for (int64_t i = 0; i < rounds; ++i) {
    tiles.dot<0, 4, 6>();
    tiles.dot<1, 4, 7>();
    tiles.dot<2, 5, 6>();
    tiles.dot<3, 5, 7>();
  }
}

#else

bool supported() {
  return false;
}
void Processor::prepare() {}
void Processor::multiply(const float*, int64_t, const float*, int64_t, int64_t, int64_t, float*, int64_t,
                         bool) {}
void Processor::keep_busy(int64_t) {}

#endif

}  // namespace haze::amx
