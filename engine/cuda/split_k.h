#pragma once

#include "haze/engine/cuda/tile_choice.h"

/// Products whose K falls into parts: blocks add up a part each, and another kernel adds the parts.
namespace haze::HAZE_KERNELS {

/// Calls finish(number of the element, its sum over all parts of K). parts [part_count, count].
template <typename Finish>
__global__ void add_parts(const float* parts, int64_t part_count, int64_t count, Finish finish) {
  const int64_t number = thread_number();
  if (number >= count) return;
  float sum = 0;
  for (int64_t part = 0; part < part_count; ++part) sum += parts[part * count + number];
  finish(number, sum);
}

/// Calls run(launch, shape, sums) to launch a product of `out`'s elements with the blocks that it needs.
/// Where `sums` is null the kernel stores the result. Otherwise it stores its sums over parts of K, and
/// `finish` makes the result of them in add_parts().
template <typename Tile, typename Run, typename Finish>
void run_split(const Tensor& out, ProductShape shape, const Run& run, const Finish& finish) {
  shape = with_parts_of_k<Tile>(shape);
  const simt::LaunchShape launch = product_launch<Tile>(shape);
  if (launch.grid.y == 1) return run(launch, shape, static_cast<float*>(nullptr));
  const int64_t count = out.elements();
  const Tensor sums({launch.grid.y, count}, Dtype::float32, out.device());
  run(launch, shape, elements_of<float>(sums));
  launch_kernel("add_parts", add_parts<Finish>, threads_for(count), elements_of<const float>(sums),
                int64_t{launch.grid.y}, count, finish);
}

}  // namespace haze::HAZE_KERNELS
