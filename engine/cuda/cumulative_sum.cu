#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/cumulative_sum.h"

// Rows whose elements lie side by side have a block each. Its threads take kThreads elements at a time and
// add what came before. Elsewhere a thread has a column, and neighbouring threads have neighbouring columns.
// Both add in float64 (int32 in int64), so that rounding happens once an element.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

template <typename T>
using Accumulator = std::conditional_t<std::is_same_v<T, int32_t>, int64_t, double>;

// The sum of the values of this lane and of those below it, in steps that double in length (Hillis and Steele
// 1986, "Data parallel algorithms").
template <typename S>
__device__ S scan_warp(S value) {
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const S below = __shfl_up_sync(kAllLanes, value, distance);
    if (threadIdx.x % kWarp >= distance) value += below;
  }
  return value;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) scan_rows(const T* x, T* out, int64_t columns) {
  using S = Accumulator<T>;
  SHARED(S, warp_sums, [kThreads / kWarp]);
  const unsigned warp = threadIdx.x / kWarp;
  const int64_t first = blockIdx.x * columns;
  S before = 0;  // the sum of the columns before `start`
  for (int64_t start = 0; start < columns; start += kThreads) {
    const int64_t column = start + threadIdx.x;
    const S sum = scan_warp(column < columns ? S(x[first + column]) : S(0));
    if (threadIdx.x % kWarp == kWarp - 1) warp_sums[warp] = sum;
    __syncthreads();
    S offset = before;
    for (unsigned other = 0; other < kThreads / kWarp; ++other) {
      if (other < warp) offset += warp_sums[other];
      before += warp_sums[other];
    }
    if (column < columns) out[first + column] = T(offset + sum);
    __syncthreads();
  }
}

template <typename T>
__global__ void scan_columns(const T* x, T* out, int64_t count, int64_t inner, int64_t columns) {
  const int64_t number = thread_number();
  if (number >= columns) return;
  const int64_t first = number / inner * count * inner + number % inner;
  Accumulator<T> sum = 0;
  for (int64_t at = first; at < first + count * inner; at += inner) {
    sum += Accumulator<T>(x[at]);
    out[at] = T(sum);
  }
}

}  // namespace

template <>
void run_kernels(const call::CumulativeSum& call) {
  if (call.x.elements() == 0) return;
  const int64_t outer = call.x.size(0), count = call.x.size(1), inner = call.x.size(2);
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, uint8_t>) {
      if (inner == 1) {
        launch_kernel(call.name(), scan_rows<T>, {{static_cast<unsigned>(outer)}, {kThreads}},
                      elements_of<const T>(call.x), elements_of<T>(call.out), count);
      } else {
        launch_kernel(call.name(), scan_columns<T>, threads_for(outer * inner), elements_of<const T>(call.x),
                      elements_of<T>(call.out), count, inner, outer * inner);
      }
    }
  });
}

}  // namespace haze::HAZE_KERNELS
