#pragma once

#include <cstdint>
#include <optional>

/// Who computes on a GPU: the kernels of engine/cuda, or one of NVIDIA's libraries. Without a choice, as at
/// first, it is the library on Device::cuda if it is found, and hand on Device::simt, where the library is a
/// stand-in. Operands that a library does not take as they lie are left to the kernels.
namespace haze {

/// Matrix products: by matmul.cu, or by cuBLAS.
enum class MatmulBy : uint8_t { hand, cublas };
void set_matmul_by(std::optional<MatmulBy> choice);
std::optional<MatmulBy> matmul_by();

/// Convolutions and their gradients: by convolution.cu, or by cuDNN.
enum class ConvolutionBy : uint8_t { hand, cudnn };
void set_convolution_by(std::optional<ConvolutionBy> choice);
std::optional<ConvolutionBy> convolution_by();

}  // namespace haze
