#include "haze/engine/cuda/cublas.h"

#include <cublas_v2.h>
#include <fmt/format.h>

#include "haze/engine/cuda/loaded_library.h"
#include "haze/engine/cuda/runtime.h"
#include "haze/engine/error.h"

namespace haze {
namespace cublas {
namespace {

using cuda::is;
static_assert(is(kSuccess, CUBLAS_STATUS_SUCCESS) && is(kInvalidValue, CUBLAS_STATUS_INVALID_VALUE));
static_assert(is(kAsItIs, CUBLAS_OP_N) && is(kTransposed, CUBLAS_OP_T));
static_assert(is(kFloat32, CUDA_R_32F) && is(kFloat64, CUDA_R_64F) && is(kBfloat16, CUDA_R_16BF));
static_assert(is(kInFloat32, CUBLAS_COMPUTE_32F) && is(kInFloat64, CUBLAS_COMPUTE_64F) &&
              is(kDefaultAlgorithm, CUBLAS_GEMM_DEFAULT));

/// The library of the CUDA version that this was compiled with, with a context for the stream of all kernels.
/// Without a function where it is not found.
Library load() {
  const std::string file = fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR);
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return {};
  decltype(&cublasCreate_v2) create = nullptr;
  decltype(&cublasSetStream_v2) set_stream = nullptr;
  Gemm gemm = nullptr;
  if (!cuda::find(library, "cublasCreate_v2", create) ||
      !cuda::find(library, "cublasSetStream_v2", set_stream) ||
      !cuda::find(library, "cublasGemmStridedBatchedEx_64", gemm)) {
    return {};
  }
  cublasHandle_t context = nullptr;
  if (create(&context) != CUBLAS_STATUS_SUCCESS ||
      set_stream(context, cuda::stream()) != CUBLAS_STATUS_SUCCESS) {
    fail("device cuda: {} was found and could not be started", file);
  }
  return {reinterpret_cast<Context*>(context), gemm};
}

}  // namespace
}  // namespace cublas

const cublas::Library* gpu::cublas_library() {
  if (matmul_by() == MatmulBy::hand) return nullptr;
  static const cublas::Library library = cublas::load();
  if (library.gemm) return &library;
  if (matmul_by() == MatmulBy::cublas) {
    fail("device cuda: libcublas.so.{} was not found; matrix products by hand need none", CUBLAS_VER_MAJOR);
  }
  return nullptr;
}

}  // namespace haze
