#include "haze/engine/cuda/ladder/convolution.h"
#include "haze/engine/cuda/ladder/ladder.h"

namespace haze::HAZE_KERNELS {
namespace {

void run_image_tiles(const ladder::Convolution& call, const Extents& e) {
  const auto tiles = [](int64_t extent, unsigned tile) { return (extent + tile - 1) / tile; };
  const int64_t blocks =
      call.x.size(0) * e.outs * tiles(e.rows, kImageTile.y) * tiles(e.columns, kImageTile.x);
  const int64_t pixels = int64_t{with_halo(kImageTile.y, e.kernel_h)} * with_halo(kImageTile.x, e.kernel_w);
  launch_kernel(call.name(), convolve_image_tiles<float>,
                {{static_cast<unsigned>(blocks)},
                 kImageTile,
                 static_cast<size_t>(pixels + e.kernel_h * e.kernel_w) * sizeof(float)},
                elements_of<const float>(call.x), elements_of<const float>(call.weight),
                elements_of<float>(call.out), e);
}

}  // namespace

template <>
void run_kernels(const ladder::Convolution& call) {
  const Extents e(call.x, call.weight, call.out, ConvolutionOptions::even(1, call.padding));
  const int64_t count = call.out.elements();
  if (count == 0) return;
  switch (call.rung) {
    case 0:
      return launch_kernel(call.name(), convolve_directly<float>, threads_for(count, kDirectThreads),
                           elements_of<const float>(call.x), elements_of<const float>(call.weight), nullptr,
                           elements_of<float>(call.out), e, count);
    case 1:
      return run_image_tiles(call, e);
    default: {
      ConvolutionProduct product = forward_product(e, call.x, call.weight);
      product.result = elements_of<float>(call.out);
      const ProductShape shape = forward_shape(e, call.x.size(0));
      launch_kernel(call.name(), convolve_by_product<WideRegisterTile>,
                    product_launch<WideRegisterTile>(shape), product, shape);
    }
  }
}

}  // namespace haze::HAZE_KERNELS
