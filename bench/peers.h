#pragma once

#include <functional>

#include "haze/engine/tensor.h"

/// Products by other libraries, on as many threads as the engine's. All work is prepared here; a call of what
/// is returned is one product c = a b and nothing else.
namespace haze {

/// By oneDNN: a [batch, m, k] and b [batch, k, n], both float32 or both bfloat16, may be transposed views; c
/// [batch, m, n] float32, dense. One float32 product is dnnl_sgemm, everything else the matmul primitive.
/// Throws Error where this processor has no such product.
std::function<void()> onednn_matmul(const Tensor& a, const Tensor& b, const Tensor& c);

/// Whether oneDNN multiplies bfloat16 on this processor: before AVX-512 it does not.
bool onednn_multiplies_bfloat16();

/// By BLIS: the same for batch 1 and float32; cblas_sgemm.
std::function<void()> blis_matmul(const Tensor& a, const Tensor& b, const Tensor& c);

}  // namespace haze
