#pragma once

#include <cstdint>

#include "haze/engine/library_choice.h"

/// Matrix products by NVIDIA's library, beside the hand-written kernels.
namespace haze {

/// The functions of cuBLAS that are used, and its numbers. It is loaded when it is first asked for, so that
/// programs need neither its headers nor the library. cublas.cpp compares the numbers with the headers.
namespace cublas {

struct Context;
enum Status : int { kSuccess = 0, kInvalidValue = 7 };
enum Transposition : int { kAsItIs = 0, kTransposed = 1 };
enum ElementType : int { kFloat32 = 0, kFloat64 = 1, kBfloat16 = 14 };
enum ComputeType : int { kInFloat32 = 68, kInFloat64 = 70 };
inline constexpr int kDefaultAlgorithm = -1;

/// cublasGemmStridedBatchedEx_64: C = alpha A B + beta C for each entry of a batch. A is m x k, and B is k x
/// n. All matrices are stored by columns. The leading dimension is the distance of two columns.
using Gemm = Status (*)(Context*, Transposition of_a, Transposition of_b, int64_t m, int64_t n, int64_t k,
                        const void* alpha, const void* a, ElementType, int64_t leading_a, int64_t step_a,
                        const void* b, ElementType, int64_t leading_b, int64_t step_b, const void* beta,
                        void* c, ElementType, int64_t leading_c, int64_t step_c, int64_t batch, ComputeType,
                        int algorithm);

struct Library {
  Context* context;
  Gemm gemm;
};

}  // namespace cublas

// Null where products are computed by hand.
namespace gpu {
const cublas::Library* cublas_library();  // cuda/cublas.cpp
}
namespace fast {
const cublas::Library* cublas_library();  // simt/cublas.cpp: a stand-in
}
namespace checked {
const cublas::Library* cublas_library();
}

}  // namespace haze
