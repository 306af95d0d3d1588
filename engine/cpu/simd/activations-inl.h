// Activation functions and their derivatives on vectors; shared by the element-wise kernels and the epilogue
// of the matrix product. See math-inl.h about the guard.
#if defined(HAZE_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_ACTIVATIONS_INL_H_
#undef HAZE_ACTIVATIONS_INL_H_
#else
#define HAZE_ACTIVATIONS_INL_H_
#endif

#include "haze/engine/cpu/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

inline constexpr double kSqrtHalf = 0.70710678118654752, kSqrtHalfRest = -4.8336466567264567e-17;
inline constexpr double kSqrtTwoOverPi = 0.79788456080286536;
inline constexpr double kInverseSqrtTwoPi = 0.39894228040143268;
inline constexpr double kInverseSqrtPi = 0.56418958354775629;
inline constexpr double kGeluCubic = 0.044715;
/// From here on downwards sigmoid rounds to 0.
template <typename T>
inline constexpr float kSigmoidIsZero = sizeof(T) == 8 ? -746 : -104;

template <class D>
HWY_INLINE hn::Vec<D> Constant(D d, double value) {
  return hn::Set(d, static_cast<hn::TFromD<D>>(value));
}

template <class D>
HWY_INLINE hn::Vec<D> Relu(D d, hn::Vec<D> x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
}

/// The standard normal distribution function, erfc(-x / sqrt 2) / 2, for |x| <= 40. Rounding the argument of
/// erfc would cost x^2 / 2 units in the last place, so it has a second part.
inline double NormalCdf(double x) {
  const double z = -x * kSqrtHalf;
  const double rest = std::fma(-x, kSqrtHalf, -z) - x * kSqrtHalfRest;
  return 0.5 * std::erfc(z) - kInverseSqrtPi * std::exp(-z * z) * rest;
}

/// x Phi(x) = max(x, 0) - a Phi(-a), a = |x|: without the cancellation of 1 + erf(x / sqrt 2) where x < 0.
template <class D>
HWY_INLINE hn::Vec<D> Gelu(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) { return v < -40 ? -0.0 : v > 40 ? v : v * NormalCdf(v); });
  } else {
    const GaussianTerms<D> terms(d, hn::Abs(x), kGeluPolynomial);
    const auto [c_of_table, t, q] = terms.interval;
    const auto half_a = hn::Mul(terms.x, hn::Set(d, 0.5f));
    const auto c = hn::Min(c_of_table, half_a);  // a/2 in interval 0, the smaller there only
    // (1 + e) (c + t q), where the largest term is added last.
    const auto sum = hn::Add(c, hn::MulAdd(hn::MulAdd(t, terms.e, t), q, hn::Mul(c, terms.e)));
    return hn::Sub(Relu(d, x), terms.TimesPower(d, sum));
  }
}

/// The gate of gelu_tanh, (1 + tanh u) / 2 = 1 / (1 + e^v) with v = -2u.
template <class D>
struct GeluTanhGate {
  hn::Vec<D> v, exp_v, gate;

  HWY_INLINE GeluTanhGate(D d, hn::Vec<D> x) {
    const auto cubic = hn::MulAdd(hn::Mul(x, x), Constant(d, -2 * kSqrtTwoOverPi * kGeluCubic),
                                  Constant(d, -2 * kSqrtTwoOverPi));
    v = hn::Mul(x, cubic);
    const auto one = Constant(d, 1);
    exp_v = ExpWithin87(d, sizeof(hn::TFromD<D>) == 8 ? AtMost(d, v, 709) : v);  // finite
    gate = hn::Div(one, hn::Add(one, exp_v));
  }

  /// x, which belongs to the gate, or 0 where e^v is too large for ExpWithin87; at x = -infinity, too.
  HWY_INLINE hn::Vec<D> ZeroFarOut(D d, hn::Vec<D> x) const {
    return hn::IfThenZeroElse(hn::Gt(v, Constant(d, sizeof(hn::TFromD<D>) == 8 ? 709 : 87)), x);
  }
};

template <class D>
HWY_INLINE hn::Vec<D> GeluTanh(D d, hn::Vec<D> x) {
  const GeluTanhGate<D> gate(d, x);
  return gate.ZeroFarOut(d, hn::Mul(x, gate.gate));
}

/// x sigmoid(x); 0 at -infinity.
template <class D>
HWY_INLINE hn::Vec<D> Silu(D d, hn::Vec<D> x) {
  return hn::Mul(AtLeast(d, x, kSigmoidIsZero<hn::TFromD<D>>), Sigmoid(d, x));
}

/// d/dx x Phi(x) = Phi(x) + x phi(x), which is 1 minus the same of -x.
template <class D>
HWY_INLINE hn::Vec<D> GeluDerivative(D d, hn::Vec<D> x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return EachLane(d, x, [](double v) {
      const double near = v < -40 ? -40 : v > 40 ? 40 : v;
      const double square = near * near, rest = std::fma(near, near, -square);
      return NormalCdf(near) + near * kInverseSqrtTwoPi * std::exp(-0.5 * square) * (1 - 0.5 * rest);
    });
  } else {
    const GaussianTerms<D> terms(d, hn::Abs(x), kGeluSlopePolynomial);
    const auto [c, t, q] = terms.interval;
    // The -t/2 that the table lacks is exact, and so less is rounded. Near the root it is the largest term,
    // and the constant one the smallest.
    const auto lacking = hn::IfThenElseZero(hn::Gt(c, hn::Set(d, -1.0f)), hn::Mul(t, hn::Set(d, -0.5f)));
    const auto small = hn::IfThenElseZero(hn::Lt(hn::Abs(c), hn::Set(d, 0.1f)), c);
    const auto large = hn::Add(lacking, hn::Sub(c, small));
    const auto times_e = hn::MulAdd(large, terms.e, hn::MulAdd(small, terms.e, small));
    const auto sum = hn::Add(large, hn::MulAdd(hn::MulAdd(t, terms.e, t), q, times_e));
    const auto below = terms.TimesPower(d, sum);
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), below, hn::Sub(hn::Set(d, 1.0f), below));
  }
}

/// With s = 1 / (1 + e^v), v = -2u = -2 sqrt(2/pi) (x + c x^3): s - x s (1 - s) v'.
template <class D>
HWY_INLINE hn::Vec<D> GeluTanhDerivative(D d, hn::Vec<D> x) {
  // Far out s (1 - s) is 0; x^2 must not overflow there.
  const auto near = AtMost(d, AtLeast(d, x, -1e6f), 1e6f);
  const GeluTanhGate<D> gate(d, near);
  const auto s = gate.ZeroFarOut(d, gate.gate);
  const auto slope = hn::MulAdd(hn::Mul(near, near), Constant(d, 6 * kSqrtTwoOverPi * kGeluCubic),
                                Constant(d, 2 * kSqrtTwoOverPi));
  // 1 - s = s e^v, without cancellation where s is near 1
  return hn::MulAdd(hn::Mul(hn::Mul(near, s), hn::Mul(gate.exp_v, s)), slope, s);
}

/// s + x s (1 - s) with s = sigmoid(x); 0 at -infinity, 1 at infinity.
template <class D>
HWY_INLINE hn::Vec<D> SiluDerivative(D d, hn::Vec<D> x) {
  constexpr float kFar = kSigmoidIsZero<hn::TFromD<D>>;
  const auto near = AtMost(d, AtLeast(d, x, kFar), -kFar);
  const SigmoidTerms<D> sigmoid(d, near);
  // s (1 - s) = q - q^2, without cancellation where s is near 1
  return hn::MulAdd(near, hn::NegMulAdd(sigmoid.q, sigmoid.q, sigmoid.q), sigmoid.s);
}

template <class D>
HWY_INLINE hn::Vec<D> Activate(D d, Activation activation, hn::Vec<D> x) {
  switch (activation) {
    case Activation::relu:
      return Relu(d, x);
    case Activation::gelu:
      return Gelu(d, x);
    case Activation::gelu_tanh:
      return GeluTanh(d, x);
    case Activation::silu:
      return Silu(d, x);
    case Activation::none:
      break;
  }
  return x;
}

/// d activation(x) / dx.
template <class D>
HWY_INLINE hn::Vec<D> ActivationSlope(D d, Activation activation, hn::Vec<D> x) {
  switch (activation) {
    case Activation::relu:
      return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), Constant(d, 1));
    case Activation::gelu:
      return GeluDerivative(d, x);
    case Activation::gelu_tanh:
      return GeluTanhDerivative(d, x);
    case Activation::silu:
      return SiluDerivative(d, x);
    case Activation::none:
      break;
  }
  return Constant(d, 1);
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#endif
