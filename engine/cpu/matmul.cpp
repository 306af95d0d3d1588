#include "haze/engine/cpu/cpu_backend.h"
#include "haze/engine/cpu/gemm.h"
#include "haze/engine/cpu/matmul_kernels.h"
#include "haze/engine/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/matmul.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

template <typename T, typename S>
MatmulKernels<T, S> Kernels() {
  return {TileColumns<T>(), PackColumns<T, S>, GemmRows<T, S>};
}

MatmulKernels<float, float> KernelsFloat() {
  return Kernels<float, float>();
}
MatmulKernels<double, double> KernelsDouble() {
  return Kernels<double, double>();
}
MatmulKernels<float, bfloat16> KernelsBfloat16() {
  return Kernels<float, bfloat16>();
}

SmallGemmFunction<float> SmallGemmFloat() {
  return SmallGemm<float>;
}
SmallGemmFunction<double> SmallGemmDouble() {
  return SmallGemm<double>;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(KernelsFloat);
HWY_EXPORT(KernelsDouble);
HWY_EXPORT(KernelsBfloat16);
HWY_EXPORT(SmallGemmFloat);
HWY_EXPORT(SmallGemmDouble);

template <>
SmallGemmFunction<float> small_gemm<float>() {
  return HWY_DYNAMIC_DISPATCH(SmallGemmFloat)();
}
template <>
SmallGemmFunction<double> small_gemm<double>() {
  return HWY_DYNAMIC_DISPATCH(SmallGemmDouble)();
}

namespace {

template <typename T, typename S>
MatmulKernels<T, S> kernels() {
  if constexpr (std::is_same_v<S, bfloat16>) {
    return HWY_DYNAMIC_DISPATCH(KernelsBfloat16)();
  } else if constexpr (std::is_same_v<S, double>) {
    return HWY_DYNAMIC_DISPATCH(KernelsDouble)();
  } else {
    return HWY_DYNAMIC_DISPATCH(KernelsFloat)();
  }
}

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// One matrix product. Each element of the result is summed over the depth in one order, whatever the cut
/// into pieces, so the pieces may depend on the number of threads without the bits doing so.
template <typename T, typename S>
class Product {
 public:
  Product(MatrixView<const S> a, MatrixView<const S> b, int64_t m, int64_t n, int64_t k,
          const GemmOutput<T>& out)
      : a_(a), b_(b), m_(m), n_(n), k_(k), out_(out) {}

  static size_t packed_bytes(int64_t n, int64_t k) {
    return static_cast<size_t>(round_up(std::min(n, kWidthBlock), kWidestTile) * std::min(k, kDepthBlock)) *
           sizeof(T);
  }

  // `packed_b` holds packed_bytes(n, k).
  void run(bool parallel, T* packed_b) const {
    for (int64_t j = 0; j < n_; j += kWidthBlock) {
      const int64_t width = std::min(kWidthBlock, n_ - j);
      for (int64_t p = 0; p < k_; p += kDepthBlock) {
        pass(j, width, p, std::min(kDepthBlock, k_ - p), parallel, packed_b);
      }
    }
  }

 private:
  void pass(int64_t j, int64_t width, int64_t p, int64_t depth, bool parallel, T* packed_b) const {
    const int64_t tile = kernels_.tile_columns;
    const int64_t panels = (width + tile - 1) / tile;
    const int workers = parallel ? threads() : 1;
    // Rows are shared out where there are enough of them, otherwise columns.
    const bool by_rows = m_ >= 2 * kTallestTile * workers;
    const int64_t row_block = by_rows ? round_up((m_ + workers - 1) / workers, kTallestTile) : m_;
    const int64_t panel_block = by_rows ? panels : (panels + workers - 1) / workers;
    const auto pack = [&](int64_t first, int64_t last) {
      const int64_t columns = std::min(width, last * tile) - first * tile;
      kernels_.pack_columns(b_.from(p, j + first * tile), depth, columns, packed_b + first * tile * depth);
    };
    const auto multiply = [&](int64_t row, int64_t panel) {
      alignas(64) T scratch[kTallestTile * kDepthBlock];
      const int64_t first = panel * tile, columns = std::min(panel_block * tile, width - first);
      kernels_.gemm_rows(a_.from(row, p), std::min(row_block, m_ - row), packed_b + first * depth, depth,
                         out_, row, j + first, columns, p == 0, p + depth == k_, scratch);
    };
    if (workers == 1) {
      pack(0, panels);
      multiply(0, 0);
      return;
    }
    const int64_t row_pieces = (m_ + row_block - 1) / row_block;
    const int64_t column_pieces = (panels + panel_block - 1) / panel_block;
#pragma omp parallel num_threads(workers)
    {
#pragma omp for schedule(static)
      for (int64_t panel = 0; panel < panels; ++panel) pack(panel, panel + 1);
#pragma omp for collapse(2) schedule(static)
      for (int64_t r = 0; r < row_pieces; ++r) {
        for (int64_t c = 0; c < column_pieces; ++c) multiply(r * row_block, c * panel_block);
      }
    }
  }

  MatmulKernels<T, S> kernels_ = kernels<T, S>();
  MatrixView<const S> a_, b_;
  int64_t m_, n_, k_;
  GemmOutput<T> out_;
};

template <typename T>
T* optional_data(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

// A depth of 0: the product is zero, the epilogue still happens.
template <typename T>
void empty_product(const Epilogue& epilogue, bool accumulate, const Tensor& out) {
  if (accumulate) return;
  fill(out, 0);
  if (epilogue.bias.defined()) add_into(out, epilogue.bias);
  if (epilogue.pre_activation.defined()) copy_into(epilogue.pre_activation, out);
  switch (epilogue.activation) {
    case Activation::relu:
      copy_into(out, unary(UnaryOp::relu, out));
      break;
    case Activation::gelu:
      copy_into(out, unary(UnaryOp::gelu, out));
      break;
    case Activation::gelu_tanh:
      copy_into(out, unary(UnaryOp::gelu_tanh, out));
      break;
    case Activation::silu:
      copy_into(out, unary(UnaryOp::silu, out));
      break;
    case Activation::none:
      break;
  }
  if (epilogue.residual.defined()) add_into(out, epilogue.residual);
}

template <typename T, typename S>
void multiply(const Tensor& a, const Tensor& b, const Epilogue& epilogue, bool accumulate,
              const Tensor& out) {
  const int64_t batch = out.size(0), m = out.size(1), n = out.size(2), k = a.size(2);
  if (k == 0) return empty_product<T>(epilogue, accumulate, out);
  const auto product = [&](int64_t i) {
    const int64_t at = i * m * n;
    const auto shifted = [at](T* pointer) { return pointer ? pointer + at : nullptr; };
    return Product<T, S>(
        {a.data<S>() + i * a.stride(0), a.stride(1), a.stride(2)},
        {b.data<S>() + i * b.stride(0), b.stride(1), b.stride(2)}, m, n, k,
        {out.data<T>() + at, n, accumulate, optional_data<T>(epilogue.bias), epilogue.activation,
         shifted(optional_data<T>(epilogue.pre_activation)), shifted(optional_data<T>(epilogue.residual))});
  };
  const size_t bytes = Product<T, S>::packed_bytes(n, k);
  constexpr int64_t kWorthSharing = 64 * 64 * 64;  // multiplications below which one thread is faster
  if (batch > 1) {
    const int64_t grain = std::max<int64_t>(1, kWorthSharing / (m * n * k));
    parallel_for(batch, grain, [&](int64_t first, int64_t last) {
      const Storage packed_b = allocate(bytes);
      for (int64_t i = first; i < last; ++i) product(i).run(false, static_cast<T*>(packed_b.data()));
    });
  } else {
    const Storage packed_b = allocate(bytes);
    product(0).run(threads() > 1 && m * n * k > kWorthSharing && !omp_in_parallel(),
                   static_cast<T*>(packed_b.data()));
  }
}

}  // namespace

void CpuBackend::matmul(const Tensor& a, const Tensor& b, const Epilogue& epilogue, bool accumulate,
                        const Tensor& out) {
  switch (a.dtype()) {
    case Dtype::float64:
      return multiply<double, double>(a, b, epilogue, accumulate, out);
    case Dtype::bfloat16:
      return multiply<float, bfloat16>(a, b, epilogue, accumulate, out);
    default:
      return multiply<float, float>(a, b, epilogue, accumulate, out);
  }
}

}  // namespace haze
#endif
