#include "haze/engine/cuda/norm.h"
#include "haze/engine/ops/norm.h"

// A block normalises a row (norm.h). The gradients of weight and bias are sums over the rows: a thread first
// sums a column of kRowsOfPart rows, so that neighbouring threads read neighbouring elements. A second kernel
// adds these parts in order.
namespace haze::HAZE_KERNELS {
namespace {

constexpr int64_t kRowsOfPart = 64;

/// A weight and a bias a column; null stands for 1 and 0.
template <typename T>
struct OfColumn {
  const T *weight, *bias;

  __device__ bool accepts(int64_t) const { return true; }
  __device__ Wide<T> scale(int64_t, int64_t i) const { return weight ? Wide<T>(weight[i]) : Wide<T>(1); }
  __device__ Wide<T> shift(int64_t, int64_t i) const { return bias ? Wide<T>(bias[i]) : Wide<T>(0); }
};

/// parts[0] [part, column] gets the sums of g xhat, parts[1] those of g.
template <typename T>
__global__ void sum_parts(const T* g, const T* x, const Wide<T>* means, const Wide<T>* rstds, Wide<T>* parts,
                          int64_t rows, int64_t columns, int64_t part_count) {
  using W = Wide<T>;
  const int64_t number = thread_number(), column = number % columns, part = number / columns;
  if (part >= part_count) return;
  const int64_t end = (part + 1) * kRowsOfPart < rows ? (part + 1) * kRowsOfPart : rows;
  W g_sum = 0, g_xhat_sum = 0;
  for (int64_t row = part * kRowsOfPart; row < end; ++row) {
    const W gi = W(g[row * columns + column]), mean = means ? means[row] : W(0);
    g_sum += gi;
    g_xhat_sum += gi * ((W(x[row * columns + column]) - mean) * rstds[row]);
  }
  parts[number] = g_xhat_sum;
  parts[part_count * columns + number] = g_sum;
}

template <typename T>
__global__ void add_parts(const Wide<T>* parts, T* out, int64_t columns, int64_t part_count) {
  const int64_t column = thread_number();
  if (column >= columns) return;
  double sum = 0;
  for (int64_t part = 0; part < part_count; ++part)
    sum += static_cast<double>(parts[part * columns + column]);
  out[column] = T(static_cast<Wide<T>>(sum));
}

void run_norm(const char* name, const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
              const NormResult& out) {
  if (x.size(0) == 0) return;
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      const OfColumn<T> affine{elements_of<const T>(weight), elements_of<const T>(bias)};
      launch_kernel(name, normalize<T, OfColumn<T>>, blocks_for_rows(x.size(0)), elements_of<const T>(x),
                    affine, epsilon, elements_of<T>(out.output), elements_of<Wide<T>>(out.mean),
                    elements_of<Wide<T>>(out.rstd), x.size(1));
    }
  });
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
    launch_kernel(name, sum_parts<T>, threads_for(part_count * columns), elements_of<const T>(g),
                  elements_of<const T>(x), elements_of<const W>(saved.mean), elements_of<const W>(saved.rstd),
                  elements_of<W>(parts), rows, columns, part_count);
  }
  const auto add = [&](int64_t which, const Tensor& to) {
    if (!to.defined()) return;
    launch_kernel(name, add_parts<T>, threads_for(columns),
                  elements_of<const W>(parts) + which * part_count * columns, elements_of<T>(to), columns,
                  part_count);
  };
  add(0, out.weight);
  add(1, out.bias);
}

void run_gradient(const char* name, const Tensor& g, const Tensor& x, const Tensor& weight,
                  const NormResult& saved, const NormGradient& out) {
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      if (x.elements() > 0) {
        launch_kernel(name, normalize_gradient<T, OfColumn<T>>, blocks_for_rows(x.size(0)),
                      elements_of<const T>(g), elements_of<const T>(x),
                      OfColumn<T>{elements_of<const T>(weight), nullptr},
                      elements_of<const Wide<T>>(saved.mean), elements_of<const Wide<T>>(saved.rstd),
                      elements_of<T>(out.x), x.size(1));
      }
      run_sums_over_rows<T>(name, g, x, saved, out);
    }
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
