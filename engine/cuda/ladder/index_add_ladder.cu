#include "haze/engine/cuda/ladder/index_add.h"
#include "haze/engine/cuda/ladder/ladder.h"

namespace haze::HAZE_KERNELS {

template <>
void run_kernels(const ladder::IndexAdd& call) {
  const int64_t extent = call.target.size(0), inner = call.target.size(1), count = call.source.elements();
  if (call.rung == 0) {
    return launch_kernel(call.name(), index_add_by_atomics<float>, threads_for(count),
                         elements_of<const int32_t>(call.indices), elements_of<const float>(call.source),
                         elements_of<float>(call.target), extent, inner, count, refuse_index(call.name()));
  }
  launch_index_add_sorted<float>(call.name(), call.name(), call.indices, call.source, call.target, 1, extent,
                                 inner);
}

}  // namespace haze::HAZE_KERNELS
