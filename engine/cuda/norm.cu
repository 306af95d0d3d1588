#include "haze/engine/cuda/norm.h"
#include "haze/engine/ops/copy.h"
#include "haze/engine/ops/creation.h"
#include "haze/engine/ops/norm.h"
#include "haze/engine/ops/reduce.h"

// A warp or a block normalises a row (norm.h). The gradients of weight and bias are sums over the rows: a
// thread first sums a vector of columns over kRowsOfPart rows, so that neighbouring threads read neighbouring
// elements. Then these parts are reduced (reduce.cu).
namespace haze::HAZE_KERNELS {
namespace {

constexpr int64_t kRowsOfPart = 32;

/// A weight and a bias a column; null stands for 1 and 0.
template <typename T>
struct OfColumn {
  const T *weight, *bias;

  __device__ bool accepts(int64_t) const { return true; }
  template <int kWidth>
  __device__ auto scale(int64_t, int64_t i) const {
    return weight ? load_wide<kWidth>(weight, i) : repeated<kWidth>(Wide<T>(1));
  }
  template <int kWidth>
  __device__ auto shift(int64_t, int64_t i) const {
    return bias ? load_wide<kWidth>(bias, i) : repeated<kWidth>(Wide<T>(0));
  }
};

/// parts[0] [part, column] gets the sums of g xhat, parts[1] those of g.
template <int kWidth, typename T>
__global__ void sum_parts(const T* g, const T* x, const Wide<T>* means, const Wide<T>* rstds, Wide<T>* parts,
                          int64_t rows, int64_t width, int64_t part_count) {
  using W = Wide<T>;
  const int64_t number = thread_number(), vector = number % width, part = number / width;
  if (part >= part_count) return;
  const int64_t end = (part + 1) * kRowsOfPart < rows ? (part + 1) * kRowsOfPart : rows;
  W g_sum[kWidth] = {}, g_xhat_sum[kWidth] = {};
  for (int64_t row = part * kRowsOfPart; row < end; ++row) {
    const auto gi = load_wide<kWidth>(g, row * width + vector),
               xi = load_wide<kWidth>(x, row * width + vector);
    const W mean = means ? means[row] : W(0), rstd = rstds[row];
    for (int k = 0; k < kWidth; ++k) {
      g_sum[k] += gi.of[k];
      g_xhat_sum[k] += gi.of[k] * ((xi.of[k] - mean) * rstd);
    }
  }
  for (int k = 0; k < kWidth; ++k) {
    parts[number * kWidth + k] = g_xhat_sum[k];
    parts[(part_count * width + number) * kWidth + k] = g_sum[k];
  }
}

void run_norm(const char* name, const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
              const NormResult& out) {
  if (x.size(0) == 0) return;
  dispatch_floating(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_normalize<T>(name, x, OfColumn<T>{elements_of<const T>(weight), elements_of<const T>(bias)},
                        is_aligned(weight) && is_aligned(bias), epsilon, out, x.size(1));
  });
}

/// out [columns]: the sum of parts [2, count, columns] over one half.
void reduce_parts(const Tensor& parts, int64_t which, const Tensor& out) {
  if (!out.defined()) return;
  if (parts.elements() == 0) return run_kernels(call::Fill{out, 0});
  const int64_t count = parts.size(1), columns = parts.size(2);
  const Tensor half(parts.storage(), {1, count, columns}, {count * columns, columns, 1},
                    parts.offset() + which * count * columns, parts.dtype(), parts.device());
  if (out.dtype() == parts.dtype()) return run_kernels(call::Reduce{ReduceOp::sum, half, 0, out});
  const Tensor wide(out.shape(), parts.dtype(), out.device());
  run_kernels(call::Reduce{ReduceOp::sum, half, 0, wide});
  run_kernels(call::Copy{wide, out});
}

/// Of weight and bias, those that are wanted.
template <typename T>
void run_sums_over_rows(const char* name, const Tensor& g, const Tensor& x, const NormResult& saved,
                        const NormGradient& out) {
  using W = Wide<T>;
  const int64_t rows = x.size(0), columns = x.size(1), part_count = (rows + kRowsOfPart - 1) / kRowsOfPart;
  if (columns == 0 || (!out.weight.defined() && !out.bias.defined())) return;
  const Tensor parts({2, part_count, columns}, wide_dtype(x.dtype()), x.device());
  if (part_count > 0) {
    with_width<T>(is_aligned(g) && is_aligned(x) && columns % kWidest<T> == 0, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel(name, sum_parts<kWidth, T>, threads_for(part_count * columns / kWidth),
                    elements_of<const T>(g), elements_of<const T>(x), elements_of<const W>(saved.mean),
                    elements_of<const W>(saved.rstd), elements_of<W>(parts), rows, columns / kWidth,
                    part_count);
    });
  }
  reduce_parts(parts, 0, out.weight);
  reduce_parts(parts, 1, out.bias);
}

void run_gradient(const char* name, const Tensor& g, const Tensor& x, const Tensor& weight,
                  const NormResult& saved, const NormGradient& out) {
  dispatch_floating(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if (x.elements() > 0) {
      launch_normalize_gradient<T>(name, g, x, OfColumn<T>{elements_of<const T>(weight), nullptr},
                                   is_aligned(weight), saved, out.x, x.size(1));
    }
    run_sums_over_rows<T>(name, g, x, saved, out);
  });
}

}  // namespace

template <>
void run_kernels(const call::LayerNorm& call) {
  run_norm(call.name(), call.x, call.weight, call.bias, call.epsilon, call.out);
}

template <>
void run_kernels(const call::LayerNormGradient& call) {
  run_gradient(call.name(), call.g, call.x, call.weight, call.saved, call.out);
}

template <>
void run_kernels(const call::RmsNorm& call) {
  run_norm(call.name(), call.x, call.weight, Tensor(), call.epsilon, call.out);
}

template <>
void run_kernels(const call::RmsNormGradient& call) {
  run_gradient(call.name(), call.g, call.x, call.weight, call.saved, call.out);
}

}  // namespace haze::HAZE_KERNELS
