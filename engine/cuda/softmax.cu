#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/softmax.h"

namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

// A block has a row. Its threads take every kThreads-th element.
template <typename T>
__global__ void __launch_bounds__(kThreads) softmax(const T* x, bool log, T* out, int64_t columns) {
  using W = Wide<T>;
  SHARED(W, scratch, [kThreads / kWarp]);
  const T* const row = x + blockIdx.x * columns;
  T* const to = out + blockIdx.x * columns;
  W max = -std::numeric_limits<W>::infinity();
  for (int64_t i = threadIdx.x; i < columns; i += kThreads) max = Larger()(max, W(row[i]));
  max = over_block<kThreads>(max, scratch, Larger());
  if (max == -std::numeric_limits<W>::infinity()) {  // nothing is possible: probabilities 0, not NaN
    for (int64_t i = threadIdx.x; i < columns; i += kThreads) to[i] = T(log ? max : W(0));
    return;
  }
  W sum = 0;
  for (int64_t i = threadIdx.x; i < columns; i += kThreads) sum += std::exp(W(row[i]) - max);
  sum = over_block<kThreads>(sum, scratch, Plus());
  const W log_sum = std::log(sum), share = 1 / sum;
  for (int64_t i = threadIdx.x; i < columns; i += kThreads) {
    const W shifted = W(row[i]) - max;
    to[i] = T(log ? shifted - log_sum : std::exp(shifted) * share);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    gradient(const T* y, const T* g, bool log, T* out, int64_t columns) {
  using W = Wide<T>;
  SHARED(W, scratch, [kThreads / kWarp]);
  const int64_t first = blockIdx.x * columns;
  W sum = 0;
  for (int64_t i = threadIdx.x; i < columns; i += kThreads) {
    sum += log ? W(g[first + i]) : W(g[first + i]) * W(y[first + i]);
  }
  sum = over_block<kThreads>(sum, scratch, Plus());
  for (int64_t i = threadIdx.x; i < columns; i += kThreads) {
    const W yi = W(y[first + i]), gi = W(g[first + i]);
    out[first + i] = T(log ? gi - std::exp(yi) * sum : yi * (gi - sum));
  }
}

}  // namespace

template <>
void run_kernels(const call::Softmax& call) {
  if (call.x.elements() == 0) return;
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      launch_kernel(call.name(), softmax<T>, {{static_cast<unsigned>(call.x.size(0))}, {kThreads}},
                    elements_of<const T>(call.x), call.log, elements_of<T>(call.out), call.x.size(1));
    }
  });
}

template <>
void run_kernels(const call::SoftmaxGradient& call) {
  if (call.y.elements() == 0) return;
  dispatch(call.y.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      launch_kernel(call.name(), gradient<T>, {{static_cast<unsigned>(call.y.size(0))}, {kThreads}},
                    elements_of<const T>(call.y), elements_of<const T>(call.g), call.log,
                    elements_of<T>(call.out), call.y.size(1));
    }
  });
}

}  // namespace haze::HAZE_KERNELS
