#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops/argmax.h"

// A block has one number of the result. Its threads take every kThreads-th element, and then halve the number
// of candidates again and again.
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

template <typename T>
__global__ void __launch_bounds__(kThreads) argmax(const T* x, int32_t* out, int64_t count, int64_t inner) {
  using W = Wide<T>;
  SHARED(Candidate<W>, candidates, [kThreads]);
  const int64_t number = blockIdx.x;
  const T* const first = x + number / inner * count * inner + number % inner;
  Candidate<W> best{W(first[0]), 0};
  for (int64_t i = threadIdx.x; i < count; i += kThreads) {
    const Candidate<W> candidate{W(first[i * inner]), i};
    if (comes_before(candidate, best)) best = candidate;
  }
  candidates[threadIdx.x] = best;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half && comes_before(candidates[threadIdx.x + half], candidates[threadIdx.x])) {
      candidates[threadIdx.x] = candidates[threadIdx.x + half];
    }
  }
  if (threadIdx.x == 0) out[number] = static_cast<int32_t>(candidates[0].index);
}

}  // namespace

template <>
void run_kernels(const call::Argmax& call) {
  if (call.out.elements() == 0) return;
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      launch_kernel(call.name(), argmax<T>, {{static_cast<unsigned>(call.out.elements())}, {kThreads}},
                    elements_of<const T>(call.x), elements_of<int32_t>(call.out), call.x.size(1),
                    call.x.size(2));
    }
  });
}

}  // namespace haze::HAZE_KERNELS
