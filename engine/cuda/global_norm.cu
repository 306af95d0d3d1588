#include <cmath>

#include "haze/engine/cuda/block_list.h"
#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/ladder/sum.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/global_norm.h"

// One launch takes a list of tensors. A block sums the squares of a chunk of one of them, and a thread takes
// 16 bytes of its elements at once. One more block sums what the blocks found, in float64 and in their order.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = kRowBlock;

template <typename T>
struct Elements {
  const T* x;
  int64_t count;
  bool in_vectors;
};
template <typename T>
using ElementsList = BlockList<Elements<T>, 128>;

/// Of the running thread's elements from `first` on: a vector's squares are added in their own type.
template <int kWidth, typename T>
__device__ double sum_of_squares(const Elements<T>& of, int64_t first) {
  using W = Wide<T>;
  const int64_t end = first + kListChunk < of.count ? first + kListChunk : of.count;
  double sum = 0;
  for (int64_t i = first + threadIdx.x * kWidth; i < end; i += kThreads * kWidth) {
    const Vector<T, kWidth> v = load_up_to<kWidth>(of.x + i, of.count - i);
    W squares = 0;
    for (int k = 0; k < kWidth; ++k) squares += W(v.of[k]) * W(v.of[k]);
    sum += static_cast<double>(squares);
  }
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) sum_squares(ElementsList<T> list, double* sums) {
  const int number = list.own_item();
  const Elements<T>& of = list.items[number];
  const int64_t first = list.own_chunk(number);
  const double own = of.in_vectors ? sum_of_squares<kWidest<T>>(of, first) : sum_of_squares<1>(of, first);
  const double sum = to_first_thread(own, Plus());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
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
  return (x.elements() + kListChunk - 1) / kListChunk;
}

/// Writes the sums of the blocks of all tensors of dtype T to `sums`. Their number.
template <typename T>
int64_t sum_squares_of(const call::GlobalNorm& call, double* sums) {
  ElementsList<T> list;
  int64_t blocks = 0;
  const auto launch = [&] {
    if (list.blocks == 0) return;
    launch_kernel(call.name(), sum_squares<T>, {{list.blocks}, {kThreads}}, list, sums + blocks);
    blocks += list.blocks;
    list = {};
  };
  for (const Tensor& x : call.tensors) {
    if (x.dtype() != dtype_of<T>() || x.elements() == 0) continue;
    list.add({elements_of<const T>(x), x.elements(), is_aligned(x)}, x.elements());
    if (list.is_full()) launch();
  }
  launch();
  return blocks;
}

}  // namespace

template <>
void run_kernels(const call::GlobalNorm& call) {
  int64_t count = 0;
  for (const Tensor& x : call.tensors) count += blocks_of(x);
  const Tensor sums({count}, Dtype::float64, call.out.device());
  auto* next = elements_of<double>(sums);
  next += sum_squares_of<float>(call, next);
  next += sum_squares_of<double>(call, next);
  sum_squares_of<bfloat16>(call, next);
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
