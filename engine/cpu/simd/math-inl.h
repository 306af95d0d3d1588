// Vector mathematics, compiled once for each instruction set: include only after "hwy/highway.h" inside a
// file that foreach_target.h compiles again and again, hence the guard that toggles.
//
// In float32, exp, log, tanh, erf, and GELU and its slope in activations-inl.h, are within 2 units in the
// last place for every float on every instruction set, subnormal ones included;
// tests/engine/math_exhaustive_test.cpp tries them all.
#if defined(HAZE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_MATH_INL_H_
#undef HAZE_MATH_INL_H_
#else
#define HAZE_MATH_INL_H_
#endif

#include <cmath>
#include <limits>

#include <hwy/highway.h>

#include "haze/engine/cpu/simd/math_tables.h"

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

/// x86's minimum and maximum return their second operand where one is NaN.
inline constexpr bool kSecondNanStays = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3;

/// The smaller of x and limit; NaN stays NaN.
template <class D>
HWY_INLINE hn::Vec<D> AtMost(D d, hn::Vec<D> x, float limit) {
  const auto bound = hn::Set(d, limit);
  if constexpr (kSecondNanStays) return hn::Min(bound, x);
  return hn::IfThenElse(hn::Gt(x, bound), bound, x);
}

/// The larger of x and limit; NaN stays NaN.
template <class D>
HWY_INLINE hn::Vec<D> AtLeast(D d, hn::Vec<D> x, float limit) {
  const auto bound = hn::Set(d, limit);
  if constexpr (kSecondNanStays) return hn::Max(bound, x);
  return hn::IfThenElse(hn::Lt(x, bound), bound, x);
}

#if HWY_TARGET == HWY_AVX3
HWY_INLINE hn::Vec512<float> ScaleByPowerOfTwo(hn::Vec512<float> x, hn::Vec512<float> n) {
  return hn::Vec512<float>{_mm512_maskz_scalef_ps(0xFFFF, x.raw, n.raw)};
}
HWY_INLINE hn::Vec256<float> ScaleByPowerOfTwo(hn::Vec256<float> x, hn::Vec256<float> n) {
  return hn::Vec256<float>{_mm256_scalef_ps(x.raw, n.raw)};
}
template <size_t N>
HWY_INLINE hn::Vec128<float, N> ScaleByPowerOfTwo(hn::Vec128<float, N> x, hn::Vec128<float, N> n) {
  return hn::Vec128<float, N>{_mm_scalef_ps(x.raw, n.raw)};
}
#endif

/// e^x = 2^n e^r, where x = n ln 2 + r, n whole, |r| <= ln 2 / 2. A float near 1.5 * 2^23 has no fraction:
/// adding one, 1.5 * 2^23 + `bias`, rounds, and leaves n + bias in the lowest bits of `shifted`.
template <class D>
struct ExpParts {
  hn::Vec<D> shifted, n, r;

  HWY_INLINE ExpParts(D d, hn::Vec<D> x, float bias) {
    const auto shifter = hn::Set(d, 12582912.0f + bias);
    shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), shifter);
    n = hn::Sub(shifted, shifter);
    r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);  // ln 2 in two parts: the first has few bits
    r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  }

  /// e^r = 1 + r + r^2 p(r).
  HWY_INLINE hn::Vec<D> Power(D d) const {
    static constexpr float kCoefficients[] = {1.0f,          1.0f,           0.49999994f,   0.166665211f,
                                              0.0416683853f, 0.00836871006f, 0.00138146419f};
    return Polynomial(d, r, kCoefficients);
  }

  /// e^r - 1.
  HWY_INLINE hn::Vec<D> PowerMinusOne(D d) const {
    static constexpr float kCoefficients[] = {0.49999994f, 0.166665211f, 0.0416683853f, 0.00836871006f,
                                              0.00138146419f};
    return hn::MulAdd(hn::Mul(r, r), Polynomial(d, r, kCoefficients), r);
  }
};

/// x 2^n of parts with bias 254. The second of its two steps is by `last`, such as 2^32 or 2^-32, so that the
/// first neither overflows nor loses bits. Results below the normal range are rounded once, and those above
/// it are infinite.
template <class D>
HWY_INLINE hn::Vec<D> TimesPowerOfTwo(D d, hn::Vec<D> x, const ExpParts<D>& parts, hn::Vec<D> last) {
#if HWY_TARGET == HWY_AVX3
  return ScaleByPowerOfTwo(x, parts.n);
#else
  const hn::RebindToSigned<D> di;
  const auto first = hn::Sub(hn::ShiftLeft<23>(hn::BitCast(di, parts.shifted)), hn::BitCast(di, last));
  return hn::Mul(hn::Mul(x, hn::BitCast(d, first)), last);
#endif
}

/// e^x for every x.
template <class D>
HWY_INLINE hn::Vec<D> Exp(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return std::exp(v); });
  } else {
    const auto clamped = AtMost(d, AtLeast(d, x, -104.0f), 89.0f);  // beyond: 0 and infinity
    const auto last = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Set(d, 0x1p-32f), hn::Set(d, 0x1p32f));
    const ExpParts<D> parts(d, clamped, 254.0f);
    return TimesPowerOfTwo(d, parts.Power(d), parts, last);
  }
}

/// e^x for x <= 0, with the bits of Exp(), in fewer steps. NaN for NaN; for other x, anything. For what has
/// had its maximum subtracted.
template <class D>
HWY_INLINE hn::Vec<D> ExpNotPositive(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return Exp(d, x);
  } else {
    const ExpParts<D> parts(d, AtLeast(d, x, -104.0f), 254.0f);
    return TimesPowerOfTwo(d, parts.Power(d), parts, hn::Set(d, 0x1p-32f));
  }
}

/// e^x for -87 <= x <= 87, in float32: there it is a normal number. NaN for NaN; for other x, anything.
template <class D>
HWY_INLINE hn::Vec<D> ExpWhereNormal(D d, hn::Vec<D> x) {
  const ExpParts<D> parts(d, x, 127.0f);
  const auto power_of_two = hn::ShiftLeft<23>(hn::BitCast(hn::RebindToSigned<D>(), parts.shifted));
  return hn::Mul(parts.Power(d), hn::BitCast(d, power_of_two));
}

/// e^x where that is a normal number; beyond, in float32, e^-87 and e^87. For gates, which are 0 or 1 there.
template <class D>
HWY_INLINE hn::Vec<D> ExpWithin87(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return Exp(d, x);
  } else {
    return ExpWhereNormal(d, AtMost(d, AtLeast(d, x, -87.0f), 87.0f));
  }
}

/// e^x for x <= 87, NaN for NaN; in float32, 0 for x < -87. Where only the error relative to 1 counts:
/// attention's weights, the slope of GELU.
template <class D>
HWY_INLINE hn::Vec<D> ExpOrZero(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return Exp(d, x);
  } else {
    return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.0f)), ExpWhereNormal(d, x));
  }
}

/// log x = e ln 2 + log m for x = 2^e m, 0.75 <= m < 1.5, and log(1 + r) = r + r^2 p(r). NaN below zero,
/// -infinity at zero.
template <class D>
HWY_INLINE hn::Vec<D> Log(D d, hn::Vec<D> x) {
  using T = hn::TFromD<D>;
  if constexpr (sizeof(T) == 8) {
    return EachLane(d, x, [](double v) { return std::log(v); });
  } else {
    static constexpr float kCoefficients[] = {-0.5f,         0.333334535f, -0.250000536f,
                                              0.199906066f,  -0.16647768f, 0.144820601f,
                                              -0.131622255f, 0.104483262f, -0.0449096486f};
    const hn::RebindToSigned<D> di;
    const auto infinity = hn::Set(d, std::numeric_limits<T>::infinity());
    const auto subnormal = hn::Lt(x, hn::Set(d, std::numeric_limits<T>::min()));
    const auto bits = hn::BitCast(di, hn::IfThenElse(subnormal, hn::Mul(x, hn::Set(d, 0x1p23f)), x));
    const auto whole = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3f400000)));  // 0x3f400000 is 0.75
    const auto m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(whole)));
    const auto e = hn::Sub(hn::ConvertTo(d, whole), hn::IfThenElseZero(subnormal, hn::Set(d, 23.0f)));
    const auto r = hn::Sub(m, hn::Set(d, 1.0f));
    const auto log_m = hn::MulAdd(hn::Mul(r, r), Polynomial(d, r, kCoefficients), r);
    const auto finite = hn::MulAdd(e, hn::Set(d, 0.693147181f), log_m);
    const auto result = hn::IfThenElse(hn::Eq(x, infinity), x, finite);
    const auto none = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity),
                                     hn::Set(d, std::numeric_limits<T>::quiet_NaN()));
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), result, none);
  }
}

/// s = 1 / (1 + e^-x), from t = e^-|x|, which cannot overflow. With q = t / (1 + t) it is 1 - q for x >= 0
/// and t - t q below. So the rounding error of 1 + t shrinks with q. The smaller of s and 1 - s is q.
template <class D>
struct SigmoidTerms {
  hn::Vec<D> s, q;

  HWY_INLINE SigmoidTerms(D d, hn::Vec<D> x) {
    const auto one = hn::Set(d, hn::TFromD<D>{1});
    const auto t = Exp(d, hn::Neg(hn::Abs(x)));
    const auto limit = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), t, one);
    q = hn::Div(t, hn::Add(one, t));
    s = hn::NegMulAdd(limit, q, limit);
  }
};

template <class D>
HWY_INLINE hn::Vec<D> Sigmoid(D d, hn::Vec<D> x) {
  return SigmoidTerms<D>(d, x).s;
}

/// table[index] for every lane, for indices below 8: in registers where a vector has room for the table.
template <class D, class VI>
HWY_INLINE hn::Vec<D> LookUp(D d, const float (&table)[8], VI index) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(D()) == 8) {
    return hn::TableLookupLanes(hn::Load(d, table), hn::IndicesFromVec(d, index));
  } else if constexpr (hn::MaxLanes(D()) == 16) {
    const auto eight = hn::Load(hn::Half<D>(), table);
    return hn::TableLookupLanes(hn::Combine(d, eight, eight), hn::IndicesFromVec(d, index));
  }
#endif
  return hn::GatherIndex(d, table, index);
}

/// A polynomial c + t q: its constant term, the distance from the centre of the interval, and the other terms
/// over t.
template <class D>
struct IntervalTerms {
  hn::Vec<D> c, t, q;
};

/// The polynomial at x >= 0 of the interval that the lowest three bits of `index` name for each lane.
template <class D, class VI, size_t kDegree>
HWY_INLINE IntervalTerms<D> Piecewise(D d, hn::Vec<D> x, VI index,
                                      const PiecewisePolynomial<kDegree>& polynomial) {
  const auto i = hn::And(index, hn::Set(hn::RebindToSigned<D>(), 7));
  const auto t = hn::Sub(x, LookUp(d, polynomial.centre, i));
  auto q = LookUp(d, polynomial.coefficients[kDegree], i);
  for (size_t k = kDegree - 1; k > 0; --k) q = hn::MulAdd(q, t, LookUp(d, polynomial.coefficients[k], i));
  return {LookUp(d, polynomial.coefficients[0], i), t, q};
}

/// Intervals that become longer with x >= 0: they are the halves of the octaves of 2 + scale x, from 2 to 32.
/// So the exponent and the first bit of the fraction number them; for 2 these end in 000.
template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> HalfOctave(D d, hn::Vec<D> x, float scale) {
  const auto octaves = hn::MulAdd(x, hn::Set(d, scale), hn::Set(d, 2.0f));
  return hn::ShiftRight<22>(hn::BitCast(hn::RebindToSigned<D>(), octaves));
}

/// tanh x.
template <class D>
HWY_INLINE hn::Vec<D> Tanh(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return std::tanh(v); });
  } else {
    const auto magnitude = AtMost(d, hn::Abs(x), 9.1f);
    const auto index = HalfOctave(d, magnitude, kTanhPolynomial.scale);
    const auto [c, t, q] = Piecewise(d, magnitude, index, kTanhPolynomial);
    return hn::CopySignToAbs(hn::MulAdd(q, t, c), x);
  }
}

/// erf x. Interval i is where scale |x| rounds to i, which adding 1.5 * 2^23 leaves in the lowest bits.
template <class D>
HWY_INLINE hn::Vec<D> Erf(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return std::erf(v); });
  } else {
    const auto magnitude = AtMost(d, hn::Abs(x), 3.95f);
    const auto rounded = hn::MulAdd(magnitude, hn::Set(d, kErfPolynomial.scale), hn::Set(d, 12582912.0f));
    const auto index = hn::BitCast(hn::RebindToSigned<D>(), rounded);
    const auto [c, t, q] = Piecewise(d, magnitude, index, kErfPolynomial);
    // Interval 0 lacks x: there c is 0 and t is x; in the others c is the larger.
    return hn::CopySignToAbs(hn::MulAdd(q, t, hn::Max(c, t)), x);
  }
}

/// e^(-x^2 / 2) f(x) = 2^n (1 + e) (c + t q) for the f of `polynomial`, in float32.
///
/// Rounding x^2 would cost 50 units in the last place. So x has two parts: its first 12 bits, whose square is
/// exact, and the rest. Adding 1.5 * 2^15, a float with eight bits after the point, parts them.
template <class D>
struct GaussianTerms {
  static constexpr float kEnd = 14.7f;  // from here on the products round to 0
  hn::Vec<D> x;
  ExpParts<D> parts;
  hn::Vec<D> e;
  IntervalTerms<D> interval;

  /// For any x >= 0, of which those beyond the end count as the end.
  template <size_t kDegree>
  HWY_INLINE GaussianTerms(D d, hn::Vec<D> any_x, const PiecewisePolynomial<kDegree>& polynomial)
      : x(AtMost(d, any_x, kEnd)),
        parts(d, hn::Mul(hn::Mul(High(d, x), hn::Set(d, -0.5f)), High(d, x)), 254.0f) {
    const auto high = High(d, x);
    const auto rest = hn::Mul(hn::Sub(x, high), hn::Add(x, high));
    parts.r = hn::MulAdd(hn::Set(d, -0.5f), rest, parts.r);
    e = parts.PowerMinusOne(d);
    interval = Piecewise(d, x, HalfOctave(d, x, polynomial.scale), polynomial);
  }

  /// value 2^n, down to the smallest subnormal number. At the end it is 0 from the start, as processors take
  /// a hundred cycles to round to a subnormal number or to 0.
  HWY_INLINE hn::Vec<D> TimesPower(D d, hn::Vec<D> value) const {
    const auto not_far = hn::IfThenZeroElse(hn::Ge(x, hn::Set(d, kEnd)), value);
    return TimesPowerOfTwo(d, not_far, parts, hn::Set(d, 0x1p-64f));
  }

 private:
  static HWY_INLINE hn::Vec<D> High(D d, hn::Vec<D> x) {
    const auto shifter = hn::Set(d, 49152.0f);
    return hn::Sub(hn::Add(x, shifter), shifter);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
