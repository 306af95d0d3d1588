#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops/argmax.h"

// Rows whose elements lie side by side have a block each. Its threads take every kThreads-th element, and
// then halve the number of candidates again and again. Elsewhere a thread has a column, and neighbouring
// threads have neighbouring columns.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

template <typename W>
struct Candidate {
  W value;
  int64_t index;
};

// A NaN is larger than every number, and of equals the first is chosen.
template <typename W>
__device__ bool comes_before(const Candidate<W>& a, const Candidate<W>& b) {
  const bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
  if (a_is_nan != b_is_nan) return a_is_nan;
  if (a_is_nan || a.value == b.value) return a.index < b.index;
  return a.value > b.value;
}

// Of the elements first, first + step, ... of `count`, which are `stride` apart.
template <typename T>
__device__ Candidate<Wide<T>> best_of(const T* x, int64_t first, int64_t step, int64_t count,
                                      int64_t stride) {
  Candidate<Wide<T>> best{Wide<T>(x[0]), 0};
  for (int64_t i = first; i < count; i += step) {
    const Candidate<Wide<T>> candidate{Wide<T>(x[i * stride]), i};
    if (comes_before(candidate, best)) best = candidate;
  }
  return best;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) argmax_of_rows(const T* x, int32_t* out, int64_t columns) {
  SHARED(Candidate<Wide<T>>, candidates, [kThreads]);
  candidates[threadIdx.x] = best_of(x + blockIdx.x * columns, threadIdx.x, kThreads, columns, 1);
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half && comes_before(candidates[threadIdx.x + half], candidates[threadIdx.x])) {
      candidates[threadIdx.x] = candidates[threadIdx.x + half];
    }
  }
  if (threadIdx.x == 0) out[blockIdx.x] = static_cast<int32_t>(candidates[0].index);
}

template <typename T>
__global__ void argmax_of_columns(const T* x, int32_t* out, int64_t count, int64_t inner, int64_t columns) {
  const int64_t number = thread_number();
  if (number >= columns) return;
  const T* const first = x + number / inner * count * inner + number % inner;
  out[number] = static_cast<int32_t>(best_of(first, 1, 1, count, inner).index);
}

}  // namespace

template <>
void run_kernels(const call::Argmax& call) {
  const int64_t results = call.out.elements(), count = call.x.size(1), inner = call.x.size(2);
  if (results == 0) return;
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if (inner == 1) {
      launch_kernel(call.name(), argmax_of_rows<T>, {{static_cast<unsigned>(results)}, {kThreads}},
                    elements_of<const T>(call.x), elements_of<int32_t>(call.out), count);
    } else {
      launch_kernel(call.name(), argmax_of_columns<T>, threads_for(results), elements_of<const T>(call.x),
                    elements_of<int32_t>(call.out), count, inner, results);
    }
  });
}

}  // namespace haze::HAZE_KERNELS
