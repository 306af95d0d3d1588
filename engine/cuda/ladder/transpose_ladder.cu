#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/cuda/ladder/transpose.h"

namespace haze::HAZE_KERNELS {

template <>
void run_kernels(const ladder::Transpose& call) {
  const TransposeShape shape{call.x.size(0), call.x.size(1), call.x.stride(0), 0};
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    constexpr void (*kKernels[])(const T*, T*, TransposeShape) = {
        transpose_naive<T, T>, transpose_by_tiles<PlainTile, T, T>, transpose_by_tiles<PaddedTile, T, T>,
        transpose_by_tiles<SwizzledTile, T, T>};
    launch_kernel(call.name(), kKernels[call.rung], transpose_launch(shape), elements_of<const T>(call.x),
                  elements_of<T>(call.out), shape);
  });
}

}  // namespace haze::HAZE_KERNELS
