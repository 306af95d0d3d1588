#pragma once

#include <cstdint>
#include <optional>

namespace haze {

/// What multiplies matrices on a GPU: the kernels of matmul.cu, or cuBLAS.
enum class MatmulBy : uint8_t { hand, cublas };

/// Without a choice, as at first, it is cublas on Device::cuda if the library is found, and hand on
/// Device::simt. Products whose operands cuBLAS does not take as they lie are computed by hand.
void set_matmul_by(std::optional<MatmulBy> choice);
std::optional<MatmulBy> matmul_by();

}  // namespace haze
