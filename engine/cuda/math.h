#pragma once

#include <cmath>
#include <limits>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops.h"
#include "haze/engine/special_functions.h"

/// The element-wise functions of ops.h for one number, float or double.
namespace haze::HAZE_KERNELS {

/// e^(-x^2 / 2). Rounding x^2 would cost x^2 / 2 units in the last place, so what it loses is put back.
template <typename T>
__device__ T gaussian(T x) {
  const T square = x * x;
  if (square > T(2000)) return T(0);
  const T lost = std::fma(x, x, -square);
  return std::exp(square * T(-0.5)) * (1 - lost * T(0.5));
}

/// Phi(x), the distribution function of the standard normal distribution; accurate in the lower tail.
template <typename T>
__device__ T normal_cdf(T x) {
  constexpr T kSqrtHalf = T(0.70710678118654752440);
  if (x > T(-1)) return T(0.5) + T(0.5) * std::erf(x * kSqrtHalf);
  return x < T(-40) ? T(0) : T(0.5 * erfcx(-static_cast<double>(x) * 0.70710678118654752440)) * gaussian(x);
}

template <typename T>
__device__ T sigmoid(T x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const T e = std::exp(x);
  return e / (1 + e);
}

/// f(x) and f'(x) of GELU by tanh: x s and s + x s' with s = sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3).
template <typename T>
struct GeluTanh {
  T s, slope;  // slope: 2 u'
  __device__ explicit GeluTanh(T x) {
    constexpr T kScale = T(2 * 0.79788456080286535588), kCubic = T(0.044715);
    s = sigmoid(kScale * (x + kCubic * x * x * x));
    slope = kScale * (1 + 3 * kCubic * x * x);
  }
};

/// x s, which is 0 and not NaN where s is 0 and x infinite.
template <typename T>
__device__ T times_share(T x, T s) {
  return s == 0 ? (std::isnan(x) ? x : T(-0.0)) : x * s;
}

template <typename T>
__device__ T apply(UnaryOp op, T x, T a, T b) {
  using U = UnaryOp;
  switch (op) {
    case U::scale_shift:
      return std::fma(x, a, b);
    case U::absolute:
      return std::fabs(x);
    case U::sign:
      return x > 0 ? T(1) : x < 0 ? T(-1) : x;
    case U::floor:
      return std::floor(x);
    case U::ceil:
      return std::ceil(x);
    case U::round:
      return std::nearbyint(x);
    case U::square:
      return x * x;
    case U::sqrt:
      return std::sqrt(x);
    case U::rsqrt:
      return 1 / std::sqrt(x);
    case U::reciprocal:
      return 1 / x;
    case U::power:
      return std::pow(x, a);
    case U::exp:
      return std::exp(x);
    case U::expm1:
      return std::expm1(x);
    case U::log:
      return std::log(x);
    case U::log1p:
      return std::log1p(x);
    case U::sin:
      return std::sin(x);
    case U::cos:
      return std::cos(x);
    case U::tanh:
      return std::tanh(x);
    case U::erf:
      return std::erf(x);
    case U::erfcx:
      return static_cast<T>(erfcx(static_cast<double>(x)));
    case U::erfinv:
      return static_cast<T>(erfinv(static_cast<double>(x)));
    case U::log_ndtr:
      return static_cast<T>(log_ndtr(static_cast<double>(x)));
    case U::sigmoid:
      return sigmoid(x);
    case U::softplus:
      return (x > 0 ? x : T(0)) + std::log1p(std::exp(-std::fabs(x)));
    case U::relu:
      return x > 0 || std::isnan(x) ? x : T(0);
    case U::leaky_relu:
      return x > 0 ? x : x * a;
    case U::gelu:
      return times_share(x, normal_cdf(x));
    case U::gelu_tanh:
      return times_share(x, GeluTanh<T>(x).s);
    case U::silu:
      return times_share(x, sigmoid(x));
    case U::clamp: {
      const T raised = x < a ? a : x;
      return raised > b ? b : raised;
    }
    case U::kCount:
      break;
  }
  return x;
}

template <typename T>
__device__ T slope_of_gelu(T x) {
  constexpr T kInverseSqrtTwoPi = T(0.39894228040143267794);
  if (std::isinf(x)) return x > 0 ? T(1) : T(0);
  return normal_cdf(x) + x * kInverseSqrtTwoPi * gaussian(x);
}

/// s + x s (1 - s) slope, which is the derivative of x s.
template <typename T>
__device__ T slope_of_gated(T x, T s, T slope) {
  if (s == 0 || s == 1) return s;
  return s * (1 + x * slope * (1 - s));
}

template <typename T>
__device__ T apply(BinaryOp op, T x, T y) {
  using B = BinaryOp;
  switch (op) {
    case B::add:
      return x + y;
    case B::subtract:
      return x - y;
    case B::multiply:
      return x * y;
    case B::divide:
      return x / y;
    case B::maximum:  // a NaN on either side comes through
      return std::isnan(x) || x > y ? x : y;
    case B::minimum:
      return std::isnan(x) || x < y ? x : y;
    case B::gelu_gradient:
      return y * slope_of_gelu(x);
    case B::gelu_tanh_gradient:
      return y * slope_of_gated(x, GeluTanh<T>(x).s, GeluTanh<T>(x).slope);
    case B::silu_gradient:
      return y * slope_of_gated(x, sigmoid(x), T(1));
    case B::kCount:
      break;
  }
  return x;
}

/// int32: results wrap modulo 2^32, and a division by 0 gives 0.
__device__ inline int32_t apply(BinaryOp op, int32_t x, int32_t y) {
  const auto u = static_cast<uint32_t>(x), v = static_cast<uint32_t>(y);
  switch (op) {
    case BinaryOp::add:
      return static_cast<int32_t>(u + v);
    case BinaryOp::subtract:
      return static_cast<int32_t>(u - v);
    case BinaryOp::multiply:
      return static_cast<int32_t>(u * v);
    case BinaryOp::divide:
      return y == 0 ? 0 : static_cast<int32_t>(int64_t{x} / y);
    case BinaryOp::maximum:
      return x > y ? x : y;
    default:
      return x < y ? x : y;
  }
}

}  // namespace haze::HAZE_KERNELS
