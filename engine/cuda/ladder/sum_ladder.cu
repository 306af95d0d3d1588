#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/cuda/ladder/sum.h"

namespace haze::HAZE_KERNELS {

template <>
void run_kernels(const ladder::Sum& call) {
  const int64_t count = call.x.elements();
  const simt::LaunchShape block{{1}, {kRowBlock}};
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto* const x = elements_of<const T>(call.x);
    auto* const out = elements_of<T>(call.out);
    switch (call.rung) {
      case 0:
        return launch_kernel(call.name(), sum_by_tree<T>, block, x, out, count);
      case 1:
        return launch_kernel(call.name(), sum_by_shuffles<T>, block, x, out, count);
      case 2:
        return with_width<T>(is_aligned(call.x), [&](auto width) {
          launch_kernel(call.name(), sum_vectors<T, decltype(width)::value>, block, x, out, count);
        });
      default:
        launch_by_chunks(call.name(), x, 0.0, Plus(), 1.0, out, 1, count, is_aligned(call.x),
                         call.x.device());
    }
  });
}

}  // namespace haze::HAZE_KERNELS
