#pragma once

#include "haze/engine/cpu/gemm.h"

namespace haze {

/// The kernels of gemm-inl.h for one instruction set: T computes, S is stored.
template <typename T, typename S>
struct MatmulKernels {
  int64_t tile_columns;
  void (*pack_columns)(MatrixView<const S> b, int64_t depth, int64_t width, T* out);
  void (*gemm_rows)(MatrixView<const S> a, int64_t height, const T* packed_b, int64_t depth,
                    const GemmOutput<T>& out, int64_t i, int64_t j, int64_t width, bool first, bool last,
                    T* scratch);
};

/// c = a b on the calling thread, for products that fit in the first caches. `scratch` holds
/// small_gemm_scratch(n, k) elements, aligned to 64 bytes.
template <typename T>
using SmallGemmFunction = void (*)(MatrixView<const T> a, MatrixView<const T> b, int64_t m, int64_t n,
                                   int64_t k, const GemmOutput<T>& out, T* scratch);

/// The best version for this processor; T is float or double.
template <typename T>
SmallGemmFunction<T> small_gemm();

}  // namespace haze
