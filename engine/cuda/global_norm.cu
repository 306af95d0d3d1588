#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/global_norm.h"

// A block sums the squares of 1024 elements in their own type. One more block sums what the blocks of all
// tensors found, in float64 and in their order.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kElements = 1024;  // of a block

template <typename T>
__global__ void __launch_bounds__(kThreads) sum_squares(const T* x, double* sums, int64_t count) {
  using W = Wide<T>;
  SHARED(W, scratch, [kThreads / kWarp]);
  const int64_t first = blockIdx.x * kElements, end = first + kElements < count ? first + kElements : count;
  W sum = 0;
  for (int64_t i = first + threadIdx.x; i < end; i += kThreads) sum += W(x[i]) * W(x[i]);
  sum = over_block<kThreads>(sum, scratch, Plus());
  if (threadIdx.x == 0) sums[blockIdx.x] = static_cast<double>(sum);
}

__global__ void __launch_bounds__(kThreads) root_of_sum(const double* sums, double* out, int64_t count) {
  SHARED(double, scratch, [kThreads / kWarp]);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += sums[i];
  sum = over_block<kThreads>(sum, scratch, Plus());
  if (threadIdx.x == 0) *out = std::sqrt(sum);
}

template <typename T>
__global__ void clip_scale(const T* norm, double max_norm, double gradient_scale, double* out,
                           Refuse refuse) {
  const double total = gradient_scale * static_cast<double>(*norm);
  if (!std::isfinite(total)) {
    *out = total;  // for who reads the scale before the error is reported
    return refuse({.number = total});
  }
  const double factor = max_norm / (total + 1e-6);
  *out = max_norm == 0 || factor > 1 ? gradient_scale : gradient_scale * factor;
}

int64_t blocks_of(const Tensor& x) {
  return (x.elements() + kElements - 1) / kElements;
}

}  // namespace

template <>
void run_kernels(const call::GlobalNorm& call) {
  int64_t count = 0;
  for (const Tensor& x : call.tensors) count += blocks_of(x);
  const Tensor sums({count}, Dtype::float64, call.out.device());
  int64_t first = 0;
  for (const Tensor& x : call.tensors) {
    if (x.elements() == 0) continue;
    dispatch(x.dtype(), [&](auto tag) {
      using T = decltype(tag);
      if constexpr (!std::is_integral_v<T>) {
        launch_kernel(call.name(), sum_squares<T>, {{static_cast<unsigned>(blocks_of(x))}, {kThreads}},
                      elements_of<const T>(x), elements_of<double>(sums) + first, x.elements());
      }
    });
    first += blocks_of(x);
  }
  launch_kernel(call.name(), root_of_sum, {{1}, {kThreads}}, elements_of<const double>(sums),
                elements_of<double>(call.out), count);
}

template <>
void run_kernels(const call::ClipScale& call) {
  const Refuse refuse(call.name(), "{operation}: the norm of the gradients is {number}");
  dispatch_real(call.norm.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), clip_scale<T>, {{1}, {1}}, elements_of<const T>(call.norm), call.max_norm,
                  call.gradient_scale, elements_of<double>(call.out), refuse);
  });
}

}  // namespace haze::HAZE_KERNELS
