#pragma once

#include <functional>

#include "haze/engine/ops.h"

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

enum class ConvolutionPass { forward, gradient_x, gradient_weight };

/// By oneDNN: y = weight * x without a bias, dense float32, or one of its gradients: the pass's result is y,
/// x or weight, the two others are read. All are plain [batch, channels, height, width]; a call brings them
/// into the layouts that oneDNN chose, and back, as PyTorch does.
std::function<void()> onednn_convolution(ConvolutionPass pass, const Tensor& x, const Tensor& weight,
                                         const ConvolutionOptions& options, const Tensor& y);

}  // namespace haze
