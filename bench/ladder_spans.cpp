#include "haze/bench/ladder.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/bench/ladder_spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;

// Two units with a latency of four cycles need eight sums; AVX-512 has registers for more, which halves the
// loads of b.
#if HWY_TARGET <= HWY_AVX3
constexpr int kRows = 8;
#else
constexpr int kRows = 4;
#endif

void MultiplyTile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t k_count,
                  float* HWY_RESTRICT c, int64_t stride) {
  const Floats d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<Floats> low[kRows], high[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = hn::Zero(d);
  for (int64_t p = 0; p < k_count; ++p, a += kRows, b += 2 * n) {
    const auto b_low = hn::LoadU(d, b), b_high = hn::LoadU(d, b + n);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto value = hn::Set(d, a[r]);
      low[r] = hn::MulAdd(value, b_low, low[r]);
      high[r] = hn::MulAdd(value, b_high, high[r]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r, c += stride) {
    hn::StoreU(hn::Add(low[r], hn::LoadU(d, c)), d, c);
    hn::StoreU(hn::Add(high[r], hn::LoadU(d, c + n)), d, c + n);
  }
}

LadderTile Tile() {
  return {kRows, 2 * static_cast<int64_t>(hn::Lanes(Floats())), MultiplyTile};
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(Tile);

LadderTile vector_tile() {
  return HWY_DYNAMIC_DISPATCH(Tile)();
}

}  // namespace haze
#endif
