#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/copy.h"

namespace haze::HAZE_KERNELS {
namespace {

template <typename X, typename Y>
__global__ void copy(const X* x, Y* out, StridedIndex<2> index, int64_t count) {
  const int64_t i = thread_number();
  if (i < count) out[index.offset(1, i)] = converted<Y>(x[index.offset(0, i)]);
}

}  // namespace

template <>
void run_kernels(const call::Copy& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const StridedIndex<2> index(call.out.shape(), {&call.x, &call.out});
  dispatch(call.x.dtype(), [&](auto x_tag) {
    dispatch(call.out.dtype(), [&](auto out_tag) {
      using X = decltype(x_tag);
      using Y = decltype(out_tag);
      launch_kernel("copy", copy<X, Y>, threads_for(count), elements_of<const X>(call.x),
                    elements_of<Y>(call.out), index, count);
    });
  });
}

}  // namespace haze::HAZE_KERNELS
