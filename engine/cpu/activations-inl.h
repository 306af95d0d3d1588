// Activation functions and their derivatives on vectors; shared by the element-wise kernels and the epilogue
// of the matrix product. See math-inl.h about the guard.
#if defined(HAZE_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HAZE_ACTIVATIONS_INL_H_
#undef HAZE_ACTIVATIONS_INL_H_
#else
#define HAZE_ACTIVATIONS_INL_H_
#endif

#include "haze/engine/cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

inline constexpr double kSqrtHalf = 0.70710678118654752;
inline constexpr double kSqrtTwoOverPi = 0.79788456080286536;
inline constexpr double kInverseSqrtTwoPi = 0.39894228040143268;
inline constexpr double kGeluCubic = 0.044715;

template <class D>
HWY_INLINE hn::Vec<D> Constant(D d, double value) {
  return hn::Set(d, static_cast<hn::TFromD<D>>(value));
}

/// The standard normal distribution function, (1 + erf(x / sqrt 2)) / 2.
template <class D>
HWY_INLINE hn::Vec<D> NormalCdf(D d, hn::Vec<D> x) {
  const auto half = Constant(d, 0.5);
  return hn::MulAdd(half, Erf(d, hn::Mul(x, Constant(d, kSqrtHalf))), half);
}

template <class D>
HWY_INLINE hn::Vec<D> Relu(D d, hn::Vec<D> x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
}

template <class D>
HWY_INLINE hn::Vec<D> Gelu(D d, hn::Vec<D> x) {
  return hn::Mul(x, NormalCdf(d, x));
}

/// (1 + tanh u) / 2 = 1 / (1 + e^-2u) with u, the argument of the tanh in gelu_tanh. In float32, 0 where
/// e^-2u is too large for ExpWithin87.
template <class D>
HWY_INLINE hn::Vec<D> GeluTanhGate(D d, hn::Vec<D> x) {
  const auto cubic = hn::MulAdd(hn::Mul(x, x), Constant(d, -2 * kSqrtTwoOverPi * kGeluCubic),
                                Constant(d, -2 * kSqrtTwoOverPi));
  const auto exponent = hn::Mul(x, cubic);
  const auto one = Constant(d, 1);
  const auto gate = hn::Div(one, hn::Add(one, ExpWithin87(d, exponent)));
  if constexpr (sizeof(hn::TFromD<D>) == 8) return gate;
  return hn::IfThenZeroElse(hn::Gt(exponent, Constant(d, 87)), gate);
}

template <class D>
HWY_INLINE hn::Vec<D> GeluTanh(D d, hn::Vec<D> x) {
  return hn::Mul(x, GeluTanhGate(d, x));
}

template <class D>
HWY_INLINE hn::Vec<D> Silu(D d, hn::Vec<D> x) {
  return hn::Mul(x, Sigmoid(d, x));
}

/// d/dx x Phi(x) = Phi(x) + x phi(x).
template <class D>
HWY_INLINE hn::Vec<D> GeluDerivative(D d, hn::Vec<D> x) {
  const auto density =
      hn::Mul(Constant(d, kInverseSqrtTwoPi), ExpOrZero(d, hn::Mul(Constant(d, -0.5), hn::Mul(x, x))));
  return hn::MulAdd(x, density, NormalCdf(d, x));
}

/// With s = 1 / (1 + e^-v), v = 2 u = 2 sqrt(2/pi) (x + c x^3): s + x s (1 - s) v'.
template <class D>
HWY_INLINE hn::Vec<D> GeluTanhDerivative(D d, hn::Vec<D> x) {
  // Far out s (1 - s) is 0; x^2 must not overflow there.
  const auto near = AtMost(d, AtLeast(d, x, -1e6f), 1e6f);
  const auto s = GeluTanhGate(d, near);
  const auto slope = hn::MulAdd(hn::Mul(near, near), Constant(d, 6 * kSqrtTwoOverPi * kGeluCubic),
                                Constant(d, 2 * kSqrtTwoOverPi));
  return hn::MulAdd(hn::Mul(hn::Mul(near, s), hn::Sub(Constant(d, 1), s)), slope, s);
}

/// s + x s (1 - s) with s = sigmoid(x).
template <class D>
HWY_INLINE hn::Vec<D> SiluDerivative(D d, hn::Vec<D> x) {
  const auto s = Sigmoid(d, x);
  return hn::MulAdd(hn::Mul(x, s), hn::Sub(Constant(d, 1), s), s);
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
