#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/cuda/ladder/softmax.h"

namespace haze::HAZE_KERNELS {

template <>
void run_kernels(const ladder::Softmax& call) {
  const int64_t rows = call.x.size(0), columns = call.x.size(1);
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto* const x = elements_of<const T>(call.x);
    auto* const out = elements_of<T>(call.out);
    if (call.rung < 3) {
      constexpr void (*kKernels[])(const T*, T*, int64_t, int64_t) = {softmax_three_passes<T>,
                                                                      softmax_online<T>, softmax_by_warps<T>};
      const int64_t threads = call.rung < 2 ? rows : rows * kWarp;
      return launch_kernel(call.name(), kKernels[call.rung], threads_for(threads, kSoftmaxBlock), x, out,
                           rows, columns);
    }
    with_width<T>(is_aligned(call.x) && is_aligned(call.out) && columns % kWidest<T> == 0, [&](auto width) {
      using Plan = RowPlan<kRowBlock, decltype(width)::value>;
      launch_kernel(call.name(), softmax_in_registers<T, Plan>, Plan::launch(rows), x, false, out, rows,
                    columns);
    });
  });
}

}  // namespace haze::HAZE_KERNELS
