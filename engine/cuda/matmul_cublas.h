#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include "haze/engine/cuda/cublas.h"
#include "haze/engine/cuda/ladder/matmul.h"
#include "haze/engine/cuda/matmul_epilogue.h"
#include "haze/engine/error.h"
#include "haze/engine/ops/matmul.h"

/// Matrix products by cuBLAS, whose epilogue is a kernel of its own.
namespace haze::HAZE_KERNELS {

/// An operand as cuBLAS takes it. cuBLAS stores matrices by columns, and what is stored by columns is the
/// transposed matrix by rows: it computes out^T = b^T a^T.
struct CublasOperand {
  cublas::Transposition transposition;
  int64_t leading;
};

// `extent` is that of columns of b, or of rows of a: the axis that b^T begins with, and a^T ends with.
template <typename S>
std::optional<CublasOperand> cublas_operand(const Operand<S>& x, int64_t k, bool is_a) {
  const int64_t inner = x.k_stride == 1 ? k : x.extent;  // of the axis whose elements are neighbours
  if (x.k_stride != 1 && x.stride != 1) return std::nullopt;
  const int64_t stride = x.k_stride == 1 ? x.stride : x.k_stride, outer = x.k_stride == 1 ? x.extent : k;
  const int64_t leading = outer == 1 ? std::max<int64_t>(1, inner) : stride;
  if (leading < inner) return std::nullopt;  // rows that overlap, such as those of a broadcast operand
  return CublasOperand{(x.k_stride == 1) == is_a ? cublas::kAsItIs : cublas::kTransposed, leading};
}

/// The epilogue of a product that is there already.
template <typename W>
__global__ void finish_products(int64_t count, int64_t columns, Epilogue<W> finish) {
  const int64_t number = thread_number();
  if (number < count) finish.out[number] = finish.of(finish.out[number], number, number % columns);
}

// Whether the product was computed by cuBLAS.
template <typename S, typename W>
bool multiply_by_cublas(const call::Matmul& call, const ProductShape& shape, const Operand<S>& a,
                        const Operand<S>& b, Epilogue<W> finish) {
  const cublas::Library* const library = shape.k == 0 ? nullptr : cublas_library();
  // For float32 operands that are to be rounded, cuBLAS has a mode in which it may round them, or not.
  if (!library || (std::is_same_v<S, float> && call.multiplies_bfloat16())) return false;
  const auto as_a = cublas_operand(a, shape.k, true), as_b = cublas_operand(b, shape.k, false);
  if (!as_a || !as_b) return false;
  constexpr auto kType = std::is_same_v<S, double>  ? cublas::kFloat64
                         : std::is_same_v<S, float> ? cublas::kFloat32
                                                    : cublas::kBfloat16;
  constexpr auto kResultType = std::is_same_v<W, double> ? cublas::kFloat64 : cublas::kFloat32;
  constexpr auto kCompute = std::is_same_v<S, double> ? cublas::kInFloat64 : cublas::kInFloat32;
  const W one = 1, keep = std::exchange(finish.accumulate, false) ? 1 : 0;
  const cublas::Status status = library->gemm(
      library->context, as_b->transposition, as_a->transposition, shape.n, shape.m, shape.k, &one, b.elements,
      kType, as_b->leading, b.step, a.elements, kType, as_a->leading, a.step, &keep, finish.out, kResultType,
      shape.n, shape.m * shape.n, shape.batch, kCompute, cublas::kDefaultAlgorithm);
  launched_by_library(call.name());
  if (status != cublas::kSuccess) fail("{}: cuBLAS refuses it with status {}", call.name(), int{status});
  if (finish.bias || finish.residual || finish.slope_at || finish.pre_activation ||
      finish.activation != Activation::none) {
    const int64_t count = call.out.elements();
    launch_kernel("finish_products", finish_products<W>, threads_for(count), count, shape.n, finish);
  }
  return true;
}

}  // namespace haze::HAZE_KERNELS
