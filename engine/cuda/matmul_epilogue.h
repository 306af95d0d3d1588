#pragma once

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/math.h"

/// The epilogue of a matrix product, done with a sum while it is at hand: bias, activation, residual and the
/// like (MatmulOptions).
namespace haze::HAZE_KERNELS {

/// What follows the sum, at the element that has `number` in a batch of results [rows, columns].
template <typename W>
struct Epilogue {
  W* out;
  bool accumulate = false;
  Activation activation = Activation::none;
  const W *bias = nullptr, *residual = nullptr, *slope_at = nullptr;
  W* pre_activation = nullptr;

  __device__ W of(W value, int64_t number, int64_t column) const;
};

template <typename W>
__device__ W activated(Activation activation, W x) {
  switch (activation) {
    case Activation::relu:
      return apply(UnaryOp::relu, x, W(0), W(0));
    case Activation::gelu:
      return apply(UnaryOp::gelu, x, W(0), W(0));
    case Activation::gelu_tanh:
      return apply(UnaryOp::gelu_tanh, x, W(0), W(0));
    case Activation::silu:
      return apply(UnaryOp::silu, x, W(0), W(0));
    default:
      return x;
  }
}

/// The activation's derivative at x, times g.
template <typename W>
__device__ W times_slope(Activation activation, W x, W g) {
  switch (activation) {
    case Activation::relu:
      return g * (x > 0 ? W(1) : W(0));
    case Activation::gelu:
      return apply(BinaryOp::gelu_gradient, x, g);
    case Activation::gelu_tanh:
      return apply(BinaryOp::gelu_tanh_gradient, x, g);
    case Activation::silu:
      return apply(BinaryOp::silu_gradient, x, g);
    default:
      return g;
  }
}

template <typename W>
__device__ W Epilogue<W>::of(W value, int64_t number, int64_t column) const {
  if (accumulate) value += out[number];
  if (slope_at) return times_slope(activation, slope_at[number], value);
  if (bias) value += bias[column];
  if (pre_activation) pre_activation[number] = value;
  value = activated(activation, value);
  return residual ? value + residual[number] : value;
}

}  // namespace haze::HAZE_KERNELS
