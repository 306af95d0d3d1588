#include "haze/engine/ops/rotary.h"

#include <algorithm>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/rotary_span.h"
#include "haze/engine/cpu/value_checks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/rotary.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// (a + i b) e^(i angle); the inverse turns by -angle.
template <typename T, bool kInverse>
void TurnHead(const T* x, const T* cosine, const T* sine, int64_t half, T* out) {
  ForEachVector<T>(half, [=](auto load, auto store, int64_t i) HWY_ATTR {
    const auto a = load(x + i), b = load(x + half + i), c = load(cosine + i);
    const auto s = kInverse ? hn::Neg(load(sine + i)) : load(sine + i);
    store(hn::NegMulAdd(b, s, hn::Mul(a, c)), out + i);
    store(hn::MulAdd(a, s, hn::Mul(b, c)), out + half + i);
  });
}

RotarySpan<float> TurnFloat(bool inverse) {
  return inverse ? TurnHead<float, true> : TurnHead<float, false>;
}
RotarySpan<double> TurnDouble(bool inverse) {
  return inverse ? TurnHead<double, true> : TurnHead<double, false>;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(TurnFloat);
HWY_EXPORT(TurnDouble);

template <>
RotarySpan<float> rotary_span<float>(bool inverse) {
  return HWY_DYNAMIC_DISPATCH(TurnFloat)(inverse);
}
template <>
RotarySpan<double> rotary_span<double>(bool inverse) {
  return HWY_DYNAMIC_DISPATCH(TurnDouble)(inverse);
}

void call::Rotary::run(Cpu) const {
  check_indices(name(), positions, cosine.size(0));
  const int64_t heads = x.size(1), head_size = x.size(2), half = head_size / 2;
  const int32_t* position = positions.data<int32_t>();
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const RotarySpan<T> turn = rotary_span<T>(inverse);
    parallel_for(x.size(0), rows_per_task(heads * head_size), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const T* const c = cosine.data<T>() + position[row] * half;
        const T* const s = sine.data<T>() + position[row] * half;
        const T* from = x.data<T>() + row * x.stride(0);
        T* to = out.data<T>() + row * heads * head_size;
        for (int64_t head = 0; head < heads; ++head, from += x.stride(1), to += head_size) {
          if (head < turned) {
            turn(from, c, s, half, to);
          } else {
            std::copy_n(from, head_size, to);
          }
        }
      }
    });
  });
}

}  // namespace haze
#endif
