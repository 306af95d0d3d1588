#pragma once

#include "haze/engine/cpu/gemm/gemm.h"

/// Products of bfloat16 by AVX-512's vdpbf16ps, which multiplies two pairs and adds both products to a
/// float32.
namespace haze::avx512_bf16 {

inline constexpr int64_t kRows = 12, kColumns = 32;

/// Whether this processor has the instruction.
bool supported();
/// The micro-kernel for 1 to kRows rows; an element stands for a pair of bfloat16.
MicroKernelFunction<float> kernel(int64_t rows);

/// `rounds` rounds of products that do not wait for one another, to measure the limit.
void keep_busy(int64_t rounds);
inline constexpr double kOperationsARound = 12.0 * 2 * 32;

}  // namespace haze::avx512_bf16
