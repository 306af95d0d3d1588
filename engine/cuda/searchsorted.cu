#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops/searchsorted.h"

// A thread has one value and halves the interval of its row in which the value belongs.
namespace haze::HAZE_KERNELS {
namespace {

// NaN is larger than every number.
template <typename W>
__device__ bool below(W a, W b) {
  return a < b || (b != b && a == a);
}

// `n` sorted numbers and `m` values a row.
template <typename T>
__global__ void searchsorted(const T* sorted, const T* values, bool right, int32_t* out, int64_t n, int64_t m,
                             int64_t count) {
  using W = Wide<T>;
  const int64_t i = thread_number();
  if (i >= count) return;
  const T* const row = sorted + i / m * n;
  const W value = W(values[i]);
  int64_t first = 0, last = n;
  while (first < last) {
    const int64_t middle = first + (last - first) / 2;
    const W number = W(row[middle]);
    const bool belongs_behind = right ? !below(value, number) : below(number, value);
    if (belongs_behind) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  out[i] = static_cast<int32_t>(first);
}

}  // namespace

template <>
void run_kernels(const call::SearchSorted& call) {
  const int64_t count = call.values.elements();
  if (count == 0) return;
  dispatch(call.sorted.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, uint8_t>) {
      launch_kernel(call.name(), searchsorted<T>, threads_for(count), elements_of<const T>(call.sorted),
                    elements_of<const T>(call.values), call.right, elements_of<int32_t>(call.out),
                    call.sorted.size(1), call.values.size(1), count);
    }
  });
}

}  // namespace haze::HAZE_KERNELS
