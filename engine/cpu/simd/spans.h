#pragma once

#include <cstdint>

#include "haze/engine/ops.h"

/// Vector kernels on elements that lie side by side. The functions below choose the best version that this
/// processor runs.
namespace haze {

template <typename T>
using UnarySpan = void (*)(const T* x, T* out, int64_t count, T a, T b);
template <typename T>
using BinarySpan = void (*)(const T* x, const T* y, T* out, int64_t count);

/// T is float or double. `out` may be `x`.
template <typename T>
UnarySpan<T> unary_span(UnaryOp op);
template <typename T>
BinarySpan<T> binary_span(BinaryOp op);
/// Arithmetic on int32 (BinaryOp::add to BinaryOp::minimum); division truncates and gives 0 for a divisor of
/// 0.
BinarySpan<int32_t> integer_binary_span(BinaryOp op);

}  // namespace haze
