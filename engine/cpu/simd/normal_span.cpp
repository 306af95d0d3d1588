#include <algorithm>
#include <array>

#include "haze/engine/box_muller.h"
#include "haze/engine/cpu/simd/random_spans.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/simd/normal_span.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// The steps of box_muller.h, on vectors. This file is compiled with -ffp-contract=off.
HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Horner's rule, whose steps are not fused.
template <class D, class V, class T, size_t N>
HWY_INLINE V SeparatePolynomial(D d, V z, const std::array<T, N>& coefficients) {
  V sum = hn::Set(d, coefficients[N - 1]);
  for (size_t i = N - 1; i-- > 0;) sum = hn::Add(hn::Mul(sum, z), hn::Set(d, coefficients[i]));
  return sum;
}

/// As box_muller_unit().
template <class D, class VU>
HWY_INLINE hn::Vec<D> Unit(D d, VU bits) {
  using T = hn::TFromD<D>;
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto number = [=](VU x) HWY_ATTR { return hn::ConvertTo(d, hn::BitCast(di, x)); };
  if constexpr (sizeof(T) == 8) {
    return hn::Sub(hn::Set(d, 1.0), hn::Mul(number(hn::ShiftRight<11>(bits)), hn::Set(d, 0x1p-53)));
  } else {
    const auto upper = number(hn::ShiftRight<16>(bits));
    const auto lower = number(hn::And(bits, hn::Set(du, 0xffff)));
    const auto rest = hn::Add(hn::Mul(lower, hn::Set(d, 0x1p-32f)), hn::Set(d, 0x1p-33f));
    return hn::Add(hn::Mul(upper, hn::Set(d, 0x1p-16f)), rest);
  }
}

/// As box_muller_minus_log().
template <class D>
HWY_INLINE hn::Vec<D> MinusLog(D d, hn::Vec<D> u) {
  using T = hn::TFromD<D>;
  using Constants = BoxMullerConstants<T>;
  const hn::RebindToSigned<D> di;
  using Signed = hn::TFromD<decltype(di)>;
  const auto bits = hn::BitCast(di, u);
  const auto from_root = hn::Sub(bits, hn::Set(di, static_cast<Signed>(Constants::kRootHalf)));
  const auto whole = hn::ShiftRight<Constants::kFractionBits>(from_root);
  const auto k = hn::ConvertTo(d, whole);
  const auto m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<Constants::kFractionBits>(whole)));
  const auto f = hn::Sub(m, hn::Set(d, T{1}));
  const auto s = hn::Div(f, hn::Add(hn::Set(d, T{2}), f));
  const auto z = hn::Mul(s, s);
  const auto r = hn::Mul(z, SeparatePolynomial(d, z, Constants::kLog));
  const auto half_square = hn::Mul(hn::Mul(hn::Set(d, T{0.5}), f), f);
  const auto small =
      hn::Add(hn::Mul(s, hn::Add(half_square, r)), hn::Mul(k, hn::Set(d, Constants::kLog2Lower)));
  return hn::Sub(hn::Sub(hn::Sub(half_square, small), f), hn::Mul(k, hn::Set(d, Constants::kLog2Upper)));
}

/// As box_muller_cos_sin().
template <class D, class VU>
HWY_INLINE void CosSin(D d, VU bits, hn::Vec<D>& cosine, hn::Vec<D>& sine) {
  using T = hn::TFromD<D>;
  using Constants = BoxMullerConstants<T>;
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  using Bits = hn::TFromD<decltype(du)>;
  constexpr Bits kQuarter = Bits{1} << (8 * sizeof(T) - 2), kEighth = kQuarter / 2, kHalf = 2 * kQuarter;
  const auto turned = hn::Add(hn::And(bits, hn::Set(du, Constants::kUsedBits)), hn::Set(du, kEighth));
  const auto steps = hn::Sub(hn::And(turned, hn::Set(du, kQuarter - 1)), hn::Set(du, kEighth));
  const auto t = hn::Mul(hn::ConvertTo(d, hn::BitCast(di, steps)), hn::Set(d, Constants::kUlpOfWords));
  const auto z = hn::Mul(t, t);
  const auto small =
      hn::Add(hn::Set(d, Constants::kTwoPiLower), hn::Mul(z, SeparatePolynomial(d, z, Constants::kSin)));
  const auto sin = hn::Add(hn::Mul(t, hn::Set(d, Constants::kTwoPiUpper)), hn::Mul(t, small));
  const auto cos = hn::Add(hn::Set(d, T{1}), hn::Mul(z, SeparatePolynomial(d, z, Constants::kCos)));
  const auto exchange = hn::RebindMask(d, hn::TestBit(turned, hn::Set(du, kQuarter)));
  const auto half = hn::Set(du, kHalf);
  const auto cos_sign = hn::And(hn::Add(turned, hn::Set(du, kQuarter)), half);
  cosine = hn::Xor(hn::IfThenElse(exchange, sin, cos), hn::BitCast(d, cos_sign));
  sine = hn::Xor(hn::IfThenElse(exchange, cos, sin), hn::BitCast(d, hn::And(turned, half)));
}

/// As box_muller(), for a vector of pairs.
template <class D>
HWY_INLINE void NormalVector(D d, const uint32_t* words, hn::TFromD<D> mean, hn::TFromD<D> deviation,
                             hn::TFromD<D>* out) {
  using T = hn::TFromD<D>;
  const hn::RebindToUnsigned<D> du;
  hn::Vec<decltype(du)> u, v;
  hn::LoadInterleaved2(du, reinterpret_cast<const hn::TFromD<decltype(du)>*>(words), u, v);
  if constexpr (sizeof(T) == 8) {  // the first word of two is the upper half
    u = hn::Or(hn::ShiftLeft<32>(u), hn::ShiftRight<32>(u));
    v = hn::Or(hn::ShiftLeft<32>(v), hn::ShiftRight<32>(v));
  }
  const auto minus_log = MinusLog(d, Unit(d, u));
  const auto radius = hn::Mul(hn::Set(d, deviation), hn::Sqrt(hn::Add(minus_log, minus_log)));
  hn::Vec<D> cosine, sine;
  CosSin(d, v, cosine, sine);
  const auto center = hn::Set(d, mean);
  hn::StoreInterleaved2(hn::Add(center, hn::Mul(radius, cosine)), hn::Add(center, hn::Mul(radius, sine)), d,
                        out);
}

template <typename T>
void Normal(const uint32_t* words, int64_t count, T mean, T deviation, T* out) {
  const hn::ScalableTag<T> d;
  constexpr auto kWordsOfElement = static_cast<int64_t>(sizeof(T) / sizeof(uint32_t));
  const auto step = 2 * static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + step <= count; i += step) NormalVector(d, words + i * kWordsOfElement, mean, deviation, out + i);
  if (i == count) return;
  // Words of 0 fill the last vector.
  alignas(64) uint32_t last_words[2 * HWY_MAX_BYTES / sizeof(uint32_t)] = {};
  alignas(64) T last[2 * HWY_MAX_BYTES / sizeof(T)];
  const int64_t rest = count - i;
  std::copy_n(words + i * kWordsOfElement, (rest + rest % 2) * kWordsOfElement, last_words);
  NormalVector(d, last_words, mean, deviation, last);
  std::copy_n(last, rest, out + i);
}

NormalSpan<float> NormalFloat() {
  return Normal<float>;
}
NormalSpan<double> NormalDouble() {
  return Normal<double>;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(NormalFloat);
HWY_EXPORT(NormalDouble);

template <>
NormalSpan<float> normal_span<float>() {
  return HWY_DYNAMIC_DISPATCH(NormalFloat)();
}
template <>
NormalSpan<double> normal_span<double>() {
  return HWY_DYNAMIC_DISPATCH(NormalDouble)();
}

}  // namespace haze
#endif
