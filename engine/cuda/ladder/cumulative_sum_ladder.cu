#include "haze/engine/cuda/ladder/cumulative_sum.h"
#include "haze/engine/cuda/ladder/ladder.h"

namespace haze::HAZE_KERNELS {

template <>
void run_kernels(const ladder::CumulativeSum& call) {
  const int64_t rows = call.x.size(0), columns = call.x.size(1);
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto* const x = elements_of<const T>(call.x);
    auto* const out = elements_of<T>(call.out);
    switch (call.rung) {
      case 0:
        return launch_kernel(call.name(), scan_by_threads<T>, threads_for(rows), x, out, rows, columns);
      case 1:
        return launch_kernel(call.name(), scan_by_warps<T>, threads_for(rows * kWarp), x, out, rows, columns);
      default:
        launch_scan_by_blocks(call.name(), x, out, rows, columns, is_aligned(call.x) && is_aligned(call.out));
    }
  });
}

}  // namespace haze::HAZE_KERNELS
