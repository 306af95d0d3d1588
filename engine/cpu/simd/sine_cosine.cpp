#include "haze/engine/cpu/simd/sine_cosine.h"

#include <cmath>
#include <cstddef>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/simd/sine_cosine.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// c0 + z (c1 + z (...)).
template <class D, typename... Rest>
HWY_INLINE hn::Vec<D> Polynomial(D d, hn::Vec<D> z, double c0, Rest... rest) {
  if constexpr (sizeof...(rest) == 0) {
    return hn::Set(d, c0);
  } else {
    return hn::MulAdd(z, Polynomial(d, z, rest...), hn::Set(d, c0));
  }
}

// For |y| <= pi/4, by the minimax polynomials of FreeBSD's libm (k_sin.c, k_cos.c).
template <class D>
HWY_INLINE hn::Vec<D> SineNearZero(D d, hn::Vec<D> y) {
  const auto z = hn::Mul(y, y);
  const auto factor =
      Polynomial(d, z, -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
                 2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10);
  return hn::MulAdd(hn::Mul(y, z), factor, y);
}

template <class D>
HWY_INLINE hn::Vec<D> CosineNearZero(D d, hn::Vec<D> y) {
  const auto z = hn::Mul(y, y);
  const auto tail =
      Polynomial(d, z, 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
                 -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11);
  return hn::NegMulAdd(z, hn::NegMulAdd(z, tail, hn::Set(d, 0.5)), hn::Set(d, 1.0));
}

/// A vector of sines and cosines of `angle`, at most 2^20.
template <class D>
HWY_INLINE void SineAndCosine(D d, hn::Vec<D> angle, double* cosine_out, double* sine_out) {
  // pi/2 in three parts of 33 bits, so that k times each of the first two is exact (Cody and Waite 1980).
  constexpr double kFirst = 1.57079632673412561417e+00, kSecond = 6.07710050630396597660e-11,
                   kThird = 2.02226624871116645580e-21;
  // Adding it leaves the nearest whole number in the last bits.
  constexpr double kRounding = 0x1.8p52;
  const hn::RebindToUnsigned<D> du;
  const auto shifted = hn::MulAdd(angle, hn::Set(d, 2 / 3.14159265358979323846), hn::Set(d, kRounding));
  const auto k = hn::Sub(shifted, hn::Set(d, kRounding));
  const auto near = hn::NegMulAdd(k, hn::Set(d, kSecond), hn::NegMulAdd(k, hn::Set(d, kFirst), angle));
  const auto y = hn::NegMulAdd(k, hn::Set(d, kThird), near);
  const auto sine = SineNearZero(d, y), cosine = CosineNearZero(d, y);
  // A quarter turn swaps the two and half a turn changes signs.
  const auto quarter = hn::BitCast(du, shifted), one = hn::Set(du, uint64_t{1}),
             two = hn::Set(du, uint64_t{2});
  const auto swap = hn::RebindMask(d, hn::Eq(hn::And(quarter, one), one));
  const auto sine_sign = hn::ShiftLeft<62>(hn::And(quarter, two));
  const auto cosine_sign = hn::ShiftLeft<62>(hn::And(hn::Add(quarter, one), two));
  hn::StoreU(hn::Xor(hn::IfThenElse(swap, cosine, sine), hn::BitCast(d, sine_sign)), d, sine_out);
  hn::StoreU(hn::Xor(hn::IfThenElse(swap, sine, cosine), hn::BitCast(d, cosine_sign)), d, cosine_out);
}

void SinesAndCosines(double x, const double* frequencies, int64_t count, double* cosines, double* sines) {
  const auto run = [&](auto d, int64_t i) HWY_ATTR {
    const auto angle = hn::Mul(hn::Set(d, x), hn::LoadU(d, frequencies + i));
    SineAndCosine(d, angle, cosines + i, sines + i);
  };
  const hn::ScalableTag<double> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= count; i += n) run(d, i);
  const hn::CappedTag<double, 1> one;
  for (; i < count; ++i) run(one, i);
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(SinesAndCosines);

void sines_and_cosines(double x, std::span<const double> frequencies, std::span<double> cosines,
                       std::span<double> sines) {
  constexpr double kLargest = 1 << 20;  // beyond, multiples of pi/2's first part are no longer exact
  if (std::abs(x) <= kLargest) {
    HWY_DYNAMIC_DISPATCH(SinesAndCosines)
    (x, frequencies.data(), static_cast<int64_t>(frequencies.size()), cosines.data(), sines.data());
    return;
  }
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    cosines[i] = std::cos(x * frequencies[i]);
    sines[i] = std::sin(x * frequencies[i]);
  }
}

}  // namespace haze
#endif
