// The family of the normal distribution on vectors: erfcx, erfinv and log_ndtr. See math-inl.h about the
// guard. In float32, erfcx and erfinv are within 4 units in the last place and log_ndtr within 6;
// tests/engine/special_functions_test.cpp tries them.
#if defined(HAZE_NORMAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_NORMAL_INL_H_
#undef HAZE_NORMAL_INL_H_
#else
#define HAZE_NORMAL_INL_H_
#endif

#include "haze/engine/cpu/simd/math-inl.h"
#include "haze/engine/special_functions.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

/// e^(scale x^2) in float32, for |scale| x^2 <= 200 and scale a power of two. x^2 rounded would be off by up
/// to 88 units in its last place. So it is taken as h^2 + t with t = (x - h)(x + h). h has the first 12 bits
/// of x, so its square is exact.
template <class D>
HWY_INLINE hn::Vec<D> ExpOfSquare(D d, hn::Vec<D> x, float scale) {
  static constexpr float kCoefficients[] = {1.0f, 1.0f, 1 / 2.0f, 1 / 6.0f, 1 / 24.0f};  // of e^t
  const hn::RebindToUnsigned<D> du;
  const auto h = hn::BitCast(d, hn::And(hn::BitCast(du, x), hn::Set(du, 0xFFFFF000u)));
  const auto s = hn::Set(d, scale);
  const auto t = hn::Mul(s, hn::Mul(hn::Sub(x, h), hn::Add(x, h)));
  return hn::Mul(Exp(d, hn::Mul(s, hn::Mul(h, h))), Polynomial(d, t, kCoefficients));
}

/// e^(x^2) erfc(x) for x >= 0 in float32 (Shepherd and Laframboise 1981): (1 + p R(p - 1)) / (1 + 2 x). Here
/// p = 2 x / (x + 3), which takes [0, infinity] to [0, 2]. Off by 2^-28, but for rounding.
template <class D>
HWY_INLINE hn::Vec<D> ErfcxNotNegative(D d, hn::Vec<D> x) {
  static constexpr float kCoefficients[] = {
      0.25300806760787964f,    -0.38862910866737366f,    0.3410669267177582f,    -0.21142317354679108f,
      0.0921480655670166f,     -0.023829380050301552f,   6.528210360556841e-05f, 0.0024286501575261354f,
      -0.0005529485060833395f, -0.00016801949823275208f, 7.521758379880339e-05f};
  const auto one = hn::Set(d, 1.0f);
  const auto finite = AtMost(d, x, 1e9f);
  const auto p = hn::Div(hn::Add(finite, finite), hn::Add(finite, hn::Set(d, 3.0f)));
  const auto numerator = hn::MulAdd(p, Polynomial(d, hn::Sub(p, one), kCoefficients), one);
  return hn::Div(numerator, hn::Add(one, hn::Add(x, x)));
}

/// e^(x^2) erfc(x). Below 0 by erfc(x) = 2 - erfc(-x).
template <class D>
HWY_INLINE hn::Vec<D> Erfcx(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return erfcx(v); });
  } else {
    const auto right = ErfcxNotNegative(d, hn::Abs(x));
    const auto twice =
        hn::Mul(hn::Set(d, 2.0f), ExpOfSquare(d, AtLeast(d, AtMost(d, x, 0.0f), -10.0f), 1.0f));
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Sub(twice, right), right);
  }
}

/// The y with erf(y) = x (Giles 2010, "Approximating the erfinv function"). In the middle it is x times a
/// polynomial of w = -log(1 - x^2), sqrt(pi)/2 at w = 0. In the tails the polynomial is of sqrt(w). Off by
/// 2^-27, but for rounding.
template <class D>
HWY_INLINE hn::Vec<D> Erfinv(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return erfinv(v); });
  } else {
    static constexpr float kMiddle[] = {
        0.24607297778129578f,    0.00022692471975460649f, -0.0017617251724004745f,
        0.00020359411428216845f, 5.900685664528282e-06f,  -4.3461809582368005e-06f,
        3.5321858149472973e-07f, 4.5324053843387446e-08f, -8.820504326934042e-09f};
    static constexpr float kTail[] = {
        2.958320140838623f,       1.0037187337875366f,     0.007049166597425938f,  -0.005300628021359444f,
        0.0037807361222803593f,   -0.0025233691558241844f, 0.0013128694845363498f, -0.0003182129003107548f,
        -0.00017535687948111445f, 0.0001259209238924086f};
    const auto one = hn::Set(d, 1.0f);
    const auto w = hn::Neg(Log(d, hn::Mul(hn::Sub(one, x), hn::Add(one, x))));
    const auto curve = Polynomial(d, hn::Sub(w, hn::Set(d, 2.5f)), kMiddle);
    const auto more = hn::MulAdd(w, curve, hn::Set(d, -2.66231996e-8f));  // sqrt(pi)/2 in two parts
    const auto middle = hn::MulAdd(x, hn::Set(d, 0.886226952f), hn::Mul(x, more));
    const auto tail = hn::Mul(x, Polynomial(d, hn::Sub(hn::Sqrt(w), hn::Set(d, 3.125f)), kTail));
    const auto result = hn::IfThenElse(hn::Lt(w, hn::Set(d, 5.0f)), middle, tail);
    const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
    return hn::IfThenElse(hn::Eq(hn::Abs(x), one), hn::CopySign(infinity, x), result);
  }
}

/// log Phi(x). Below 0 from the logarithm of erfcx, above from log(1 - t) with the other tail t.
template <class D>
HWY_INLINE hn::Vec<D> LogNdtr(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return log_ndtr(v); });
  } else {
    static constexpr float kLog[] = {0.6029132008552551f, 0.510028064250946f,  0.4953739047050476f,
                                     0.5184570550918579f, 0.5698937773704529f, 0.6393561363220215f,
                                     0.6880511045455933f, 1.0095652341842651f, 1.7459443807601929f};
    const auto half = hn::Set(d, 0.5f);
    const auto scaled = hn::Mul(half, ErfcxNotNegative(d, hn::Mul(hn::Abs(x), hn::Set(d, 0.707106781f))));
    const auto left = hn::NegMulAdd(hn::Mul(half, x), x, Log(d, scaled));
    const auto t = hn::Mul(scaled, ExpOfSquare(d, AtMost(d, hn::Abs(x), 20.0f), -0.5f));
    // log(1 - t) = -t - t^2 R(t), 0 <= t <= 1/2
    const auto curve = Polynomial(d, hn::Sub(t, hn::Set(d, 0.25f)), kLog);
    const auto right = hn::NegMulAdd(hn::Mul(t, t), curve, hn::Neg(t));
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), left, right);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
