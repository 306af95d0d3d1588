#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/creation.h"

// A thread has 16 bytes of neighbouring elements, or one element: see elementwise.cu.
namespace haze::HAZE_KERNELS {
namespace {

template <int kWidth, typename T>
__global__ void fill(T* out, StridedIndex<1> index, int64_t count, T value) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  store_up_to(out + index.offset(0, first), repeated<kWidth>(value), left);
}

template <int kWidth, typename T>
__global__ void arange(T* out, int64_t count) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  Vector<T, kWidth> v;
  for (int k = 0; k < kWidth; ++k) v.of[k] = converted<T>(first + k);
  store_up_to(out + first, v, left);
}

}  // namespace

template <>
void run_kernels(const call::Fill& call) {
  const Tensor& out = call.out;
  const int64_t count = out.elements();
  if (count == 0) return;
  const Tensor* const operands[] = {&out};
  const StridedIndex<1> index(out.shape(), operands);
  dispatch(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_width_for<T>(index, operands, out, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel("fill", fill<kWidth, T>, threads_for_vectors<kWidth>(count), elements_of<T>(out), index,
                    count, converted<T>(call.value));
    });
  });
}

template <>
void run_kernels(const call::Arange& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch(call.out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_width<T>(is_aligned(call.out), [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel("arange", arange<kWidth, T>, threads_for_vectors<kWidth>(count), elements_of<T>(call.out),
                    count);
    });
  });
}

}  // namespace haze::HAZE_KERNELS
