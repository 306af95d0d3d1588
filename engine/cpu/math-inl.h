// Vector mathematics, compiled once for each instruction set: include only after "hwy/highway.h" inside a
// file that foreach_target.h compiles again and again, hence the guard that toggles.
#if defined(HAZE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_MATH_INL_H_
#undef HAZE_MATH_INL_H_
#else
#define HAZE_MATH_INL_H_
#endif

#include <cmath>
#include <limits>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// f applied to each lane by the C library: for float64, which is for checking, and for functions off every
/// hot path.
template <class D, class F>
HWY_INLINE hn::Vec<D> EachLane(D d, hn::Vec<D> x, F f) {
  using T = hn::TFromD<D>;
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(x, d, lanes);
  for (size_t i = 0; i < hn::Lanes(d); ++i) lanes[i] = f(lanes[i]);
  return hn::Load(d, lanes);
}

/// Horner's rule; coefficients from the constant term up.
template <class D, class V, size_t N>
HWY_INLINE V Polynomial(D d, V x, const float (&coefficients)[N]) {
  V sum = hn::Set(d, coefficients[N - 1]);
  for (size_t i = N - 1; i-- > 0;) sum = hn::MulAdd(sum, x, hn::Set(d, coefficients[i]));
  return sum;
}

/// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r = 1 + r + r^2 p(r). The scaling by 2^n is
/// done in two halves, so that results below the normal range come out right and those above it are infinite.
template <class D>
HWY_INLINE hn::Vec<D> Exp(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return std::exp(v); });
  } else {
    static constexpr float kCoefficients[] = {5.000000014e-01f, 1.666666672e-01f, 4.166645680e-02f,
                                              8.333297065e-03f, 1.393454335e-03f, 1.990044293e-04f};
    const hn::RebindToSigned<D> di;
    const auto clamped = hn::Min(hn::Max(x, hn::Set(d, -104.0f)), hn::Set(d, 89.0f));
    const auto n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504f)));
    auto r =
        hn::NegMulAdd(n, hn::Set(d, 0.693145752f), clamped);  // ln 2 in two parts: the first has few bits
    r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
    const auto tail = hn::MulAdd(Polynomial(d, r, kCoefficients), hn::Mul(r, r), r);
    const auto power = hn::Add(tail, hn::Set(d, 1.0f));
    const auto exponent = hn::ConvertTo(di, n);
    const auto half = hn::ShiftRight<1>(exponent);
    const auto bias = hn::Set(di, 127);
    const auto scale0 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
    const auto scale1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(exponent, half), bias)));
    return hn::IfThenElse(hn::IsNaN(x), x, hn::Mul(hn::Mul(power, scale0), scale1));
  }
}

/// log x for every float: NaN below zero, -infinity at zero.
template <class D>
HWY_INLINE hn::Vec<D> Log(D d, hn::Vec<D> x) {
  return EachLane(d, x, [](auto v) { return std::log(v); });
}

/// 1 / (1 + e^-x), from e^-|x|, which cannot overflow.
template <class D>
HWY_INLINE hn::Vec<D> Sigmoid(D d, hn::Vec<D> x) {
  const auto one = hn::Set(d, hn::TFromD<D>{1});
  const auto t = Exp(d, hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), t, one), hn::Add(one, t));
}

/// tanh x: x + x^3 p(x^2) near zero, otherwise 1 - 2 / (e^2|x| + 1) with the sign of x.
template <class D>
HWY_INLINE hn::Vec<D> Tanh(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return std::tanh(v); });
  } else {
    static constexpr float kCoefficients[] = {-3.333333309e-01f, 1.333329185e-01f,  -5.395655646e-02f,
                                              2.174755008e-02f,  -8.276125010e-03f, 2.218362078e-03f};
    const auto magnitude = hn::Abs(x);
    const auto square = hn::Mul(x, x);
    const auto near = hn::MulAdd(hn::Mul(square, x), Polynomial(d, square, kCoefficients), x);
    const auto grown = Exp(d, hn::Add(magnitude, magnitude));
    const auto far = hn::Sub(hn::Set(d, 1.0f), hn::Div(hn::Set(d, 2.0f), hn::Add(grown, hn::Set(d, 1.0f))));
    return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0.625f)), near, hn::CopySignToAbs(far, x));
  }
}

/// erf x: x p(x^2) up to 0.9375, from there 1 - e^-q(|x|) with q fitted to -log(1 - erf); 1 from 4 on.
template <class D>
HWY_INLINE hn::Vec<D> Erf(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return std::erf(v); });
  } else {
    static constexpr float kNear[] = {1.128379167e+00f,  -3.761263848e-01f, 1.128378262e-01f,
                                      -2.686543831e-02f, 5.221053411e-03f,  -8.484396534e-04f,
                                      1.126825377e-04f,  -9.673590437e-06f};
    static constexpr float kFar[] = {
        -1.200577606e-04f, 1.129186548e+00f,  6.342075938e-01f,  1.069904078e-01f, -2.390305188e-02f,
        3.422943936e-03f,  -1.347079524e-04f, -5.428067665e-05f, 1.078293400e-05f, -6.679390869e-07f};
    const auto magnitude = hn::Abs(x);
    const auto near = hn::Mul(x, Polynomial(d, hn::Mul(x, x), kNear));
    const auto clamped = hn::Min(magnitude, hn::Set(d, 4.0f));
    const auto far = hn::Sub(hn::Set(d, 1.0f), Exp(d, hn::Neg(Polynomial(d, clamped, kFar))));
    const auto result =
        hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0.9375f)), near, hn::CopySignToAbs(far, x));
    return hn::IfThenElse(hn::IsNaN(x), x, result);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
