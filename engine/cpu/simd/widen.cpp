#include "haze/engine/cpu/simd/widen.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/simd/widen.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Widen(const bfloat16* x, float* out, int64_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  const auto* bits = reinterpret_cast<const uint16_t*>(x);
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    const auto upper = hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, bits + i)));
    hn::StoreU(hn::BitCast(d, upper), d, out + i);
  }
  for (; i < count; ++i) out[i] = static_cast<float>(x[i]);
}

// Integer arithmetic, as in bfloat16(float): the bits are the same on every instruction set.
void Narrow(const float* x, bfloat16* out, int64_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  auto* bits = reinterpret_cast<uint16_t*>(out);
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    const auto value = hn::LoadU(d, x + i);
    const auto u = hn::BitCast(du, value);
    const auto upper = hn::ShiftRight<16>(u);
    const auto half = hn::Add(hn::Set(du, 0x7fffu), hn::And(upper, hn::Set(du, 1u)));
    const auto rounded = hn::ShiftRight<16>(hn::Add(u, half));
    const auto nan = hn::Or(upper, hn::Set(du, 0x40u));
    const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(value)), nan, rounded);
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, result)), d16, bits + i);
  }
  for (; i < count; ++i) out[i] = bfloat16(x[i]);
}

const WidenSpans& WidenSpansOfTarget() {
  static constexpr WidenSpans kSpans{Widen, Narrow};
  return kSpans;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(WidenSpansOfTarget);

const WidenSpans& widen_spans() {
  return HWY_DYNAMIC_DISPATCH(WidenSpansOfTarget)();
}

}  // namespace haze
#endif
