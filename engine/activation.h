#pragma once

#include "haze/engine/ops.h"

namespace haze {

/// The element-wise operation that an activation of a product is. Throws Error for Activation::none.
inline UnaryOp unary_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      break;
    case Activation::relu:
      return UnaryOp::relu;
    case Activation::gelu:
      return UnaryOp::gelu;
    case Activation::gelu_tanh:
      return UnaryOp::gelu_tanh;
    case Activation::silu:
      return UnaryOp::silu;
  }
  fail("activation: it is none, or unknown");
}

}  // namespace haze
