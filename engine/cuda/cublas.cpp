#include "haze/engine/cuda/cublas.h"

#include <cublas_v2.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "haze/engine/cuda/runtime.h"
#include "haze/engine/error.h"

namespace haze {
namespace cublas {
namespace {

/// Whether a number of ours is the header's, of an enumeration of the same size.
template <typename Ours, typename Theirs>
constexpr bool is(Ours ours, Theirs theirs) {
  return sizeof(Ours) == sizeof(Theirs) && static_cast<int>(ours) == static_cast<int>(theirs);
}
static_assert(is(kSuccess, CUBLAS_STATUS_SUCCESS) && is(kInvalidValue, CUBLAS_STATUS_INVALID_VALUE));
static_assert(is(kAsItIs, CUBLAS_OP_N) && is(kTransposed, CUBLAS_OP_T));
static_assert(is(kFloat32, CUDA_R_32F) && is(kFloat64, CUDA_R_64F) && is(kBfloat16, CUDA_R_16BF));
static_assert(is(kInFloat32, CUBLAS_COMPUTE_32F) && is(kInFloat64, CUBLAS_COMPUTE_64F) &&
              is(kDefaultAlgorithm, CUBLAS_GEMM_DEFAULT));

/// Null where the library is not found.
template <typename Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

/// The library of the CUDA version that this was compiled with, with a context for the stream of all kernels.
/// Without a function where it is not found.
Library load() {
  const std::string file = fmt::format("libcublas.so.{}", CUBLAS_VER_MAJOR);
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return {};
  const auto create = symbol<decltype(&cublasCreate_v2)>(library, "cublasCreate_v2");
  const auto set_stream = symbol<decltype(&cublasSetStream_v2)>(library, "cublasSetStream_v2");
  const auto gemm = symbol<Gemm>(library, "cublasGemmStridedBatchedEx_64");
  if (!create || !set_stream || !gemm) return {};
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
