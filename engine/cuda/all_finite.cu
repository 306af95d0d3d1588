#include <cmath>

#include "haze/engine/cuda/vector.h"
#include "haze/engine/ops/all_finite.h"

// Blocks take their share of the elements and note whether all of these are finite. One more block looks
// whether all have noted so.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;
constexpr int64_t kElements = 4 * kThreads, kMostBlocks = 1024;  // elements of a block

template <int kWidth, typename T>
__global__ void __launch_bounds__(kThreads) find_finite(const T* x, uint8_t* finite, int64_t count) {
  bool all = true;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * kWidth;
  for (int64_t i = thread_number() * kWidth; i < count; i += step) {
    const Vector<T, kWidth> v = load_up_to<kWidth>(x + i, count - i);
    for (int k = 0; k < kWidth; ++k) all = all && std::isfinite(Wide<T>(v.of[k]));
  }
  all = __syncthreads_and(all);
  if (threadIdx.x == 0) finite[blockIdx.x] = all;
}

__global__ void __launch_bounds__(kThreads) over_blocks(const uint8_t* finite, uint8_t* out, int64_t count) {
  bool all = true;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) all = all && finite[i] != 0;
  all = __syncthreads_and(all);
  if (threadIdx.x == 0) *out = all;
}

}  // namespace

template <>
void run_kernels(const call::AllFinite& call) {
  const int64_t count = call.x.elements(), all_blocks = (count + kElements - 1) / kElements;
  const int64_t blocks = all_blocks < kMostBlocks ? all_blocks : kMostBlocks;
  const Tensor finite({blocks}, Dtype::uint8, call.x.device());
  if (count > 0) {
    dispatch_floating(call.x.dtype(), [&](auto tag) {
      using T = decltype(tag);
      with_width<T>(is_aligned(call.x), [&](auto width) {
        launch_kernel(call.name(), find_finite<decltype(width)::value, T>,
                      {{static_cast<unsigned>(blocks)}, {kThreads}}, elements_of<const T>(call.x),
                      elements_of<uint8_t>(finite), count);
      });
    });
  }
  launch_kernel(call.name(), over_blocks, {{1}, {kThreads}}, elements_of<const uint8_t>(finite),
                elements_of<uint8_t>(call.out), blocks);
}

}  // namespace haze::HAZE_KERNELS
