#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/ladder/cumulative_sum.h"
#include "haze/engine/ops/cumulative_sum.h"

// Rows whose elements lie side by side are scanned as on the ladder: short ones by a warp each, long ones by
// a block. Elsewhere a thread has a column, and neighbouring threads have neighbouring columns.
namespace haze::HAZE_KERNELS {
namespace {

constexpr int64_t kColumnsOfWarp = 256;

template <typename T>
__global__ void scan_columns(const T* x, T* out, int64_t count, int64_t inner, int64_t columns) {
  const int64_t number = thread_number();
  if (number >= columns) return;
  const int64_t first = number / inner * count * inner + number % inner;
  ScanSum<T> sum = 0;
  for (int64_t at = first; at < first + count * inner; at += inner) {
    sum += ScanSum<T>(x[at]);
    out[at] = T(sum);
  }
}

}  // namespace

template <>
void run_kernels(const call::CumulativeSum& call) {
  if (call.x.elements() == 0) return;
  const int64_t outer = call.x.size(0), count = call.x.size(1), inner = call.x.size(2);
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, uint8_t>) {
      const auto* const x = elements_of<const T>(call.x);
      auto* const out = elements_of<T>(call.out);
      if (inner > 1) {
        launch_kernel(call.name(), scan_columns<T>, threads_for(outer * inner), x, out, count, inner,
                      outer * inner);
      } else if (count <= kColumnsOfWarp) {
        launch_kernel(call.name(), scan_by_warps<T>, threads_for(outer * kWarp), x, out, outer, count);
      } else {
        launch_scan_by_blocks(call.name(), x, out, outer, count, is_aligned(call.x) && is_aligned(call.out));
      }
    }
  });
}

}  // namespace haze::HAZE_KERNELS
