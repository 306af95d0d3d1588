#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/creation.h"

namespace haze::HAZE_KERNELS {
namespace {

template <typename T>
__global__ void fill(T* out, StridedIndex<1> index, int64_t count, T value) {
  const int64_t i = thread_number();
  if (i < count) out[index.offset(0, i)] = value;
}

template <typename T>
__global__ void arange(T* out, int64_t count) {
  const int64_t i = thread_number();
  if (i < count) out[i] = converted<T>(i);
}

}  // namespace

template <>
void run_kernels(const call::Fill& call) {
  const Tensor& out = call.out;
  if (out.elements() == 0) return;
  dispatch(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const StridedIndex<1> index(out.shape(), {&out});
    launch_kernel("fill", fill<T>, threads_for(out.elements()), elements_of<T>(out), index, out.elements(),
                  converted<T>(call.value));
  });
}

template <>
void run_kernels(const call::Arange& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch(call.out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel("arange", arange<T>, threads_for(count), elements_of<T>(call.out), count);
  });
}

}  // namespace haze::HAZE_KERNELS
