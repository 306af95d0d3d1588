#include "haze/engine/cpu/simd/machine_spans.h"

#include "haze/engine/cpu/simd/instruction_set.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/simd/machine_spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;

// Two units with a latency of four or five cycles need ten; twelve fit in AVX2's 16 registers.
constexpr int kChains = 12;

float MultiplyAdds(int64_t rounds) {
  const Floats d;
  // Each chain converges to 2: neither overflow nor the slow small numbers.
  const auto half = hn::Set(d, 0.5F), one = hn::Set(d, 1.0F);
  hn::Vec<Floats> chains[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) chains[i] = hn::Iota(d, static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) chains[i] = hn::MulAdd(chains[i], half, one);
  }
  auto total = hn::Zero(d);
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) total = hn::Add(total, chains[i]);
  return hn::GetLane(hn::SumOfLanes(d, total));
}

void Copy(const float* x, float* out, int64_t count) {
  const Floats d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < count; i += n) hn::Store(hn::Load(d, x + i), d, out + i);
}

void CopyPastCache(const float* x, float* out, int64_t count) {
  const Floats d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < count; i += n) hn::Stream(hn::Load(d, x + i), d, out + i);
}

const MachineSpans* Spans() {
  static const MachineSpans spans{MultiplyAdds, 2 * kChains * static_cast<int64_t>(hn::Lanes(Floats())), Copy,
                                  CopyPastCache};
  return &spans;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(Spans);

const MachineSpans& machine_spans() {
  static const MachineSpans* const spans = [] {
    instruction_set();  // reads HAZE_CPU, which counts only before Highway's first choice
    return HWY_DYNAMIC_DISPATCH(Spans)();
  }();
  return *spans;
}

}  // namespace haze
#endif
