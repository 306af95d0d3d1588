#include <algorithm>
#include <array>

#include "haze/engine/cuda/convolution_cudnn.h"
#include "haze/engine/cuda/convolution_weight.h"
#include "haze/engine/cuda/ladder/convolution.h"
#include "haze/engine/cuda/split_k.h"
#include "haze/engine/ops/convolution.h"

// In float32, convolution and its gradients are products with the matrix of windows, which is never written
// out: the rung "implicit product" of the ladder, and convolution_weight.h. Where the tiles of the result are
// too few to keep a GPU busy, K is split into parts, whose sums another kernel adds up in their order. In
// float64, which checks gradients, a thread has one element of the result. So it has where a group of the
// result is one channel, as in depthwise convolution: a tile would be empty but for one row.
namespace haze::HAZE_KERNELS {
namespace {

/// The window, of `count`, of which a tap that is `distance` from its first pixel lies on pixel 0; or -1.
__device__ int64_t window_at(int64_t distance, int64_t stride, int64_t count) {
  const int64_t window = distance < 0 ? -1 : distance / stride;
  return window < count && window * stride == distance ? window : -1;
}

// One block on a multiprocessor is enough: its threads may have the registers that divisions take.
template <typename T>
__global__ void __launch_bounds__(kDirectThreads, 1)
    gradient_x(const T* g, const T* weight, const T* bias, T* result, Extents e, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t x = number % e.width, y = number / e.width % e.height;
  const int64_t channel = number / e.width / e.height % e.channels;
  const int64_t batch = number / e.width / e.height / e.channels;
  const int64_t plane = e.rows * e.columns, taps = e.kernel_h * e.kernel_w;
  const int64_t first = channel / e.group_channels() * e.group_outs();
  g += (batch * e.outs + first) * plane;
  weight += e.weight_number(first, channel % e.group_channels(), 0, 0);
  T sum = 0;
  for (int64_t i = 0; i < e.kernel_h; ++i) {
    const int64_t row = window_at(y + e.options.top - i * e.options.dilation_h, e.options.stride_h, e.rows);
    for (int64_t j = 0; row >= 0 && j < e.kernel_w; ++j) {
      const int64_t column =
          window_at(x + e.options.left - j * e.options.dilation_w, e.options.stride_w, e.columns);
      if (column < 0) continue;
      for (int64_t out = 0; out < e.group_outs(); ++out) {
        sum += g[out * plane + row * e.columns + column] *
               weight[out * e.group_channels() * taps + i * e.kernel_w + j];
      }
    }
  }
  result[number] = bias ? sum + bias[channel] : sum;
}

template <typename T>
__global__ void __launch_bounds__(kDirectThreads)
    gradient_weight(const T* g, const T* x, T* result, Extents e, int64_t batch, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t j = number % e.kernel_w, i = number / e.kernel_w % e.kernel_h;
  const int64_t channel = number / e.kernel_w / e.kernel_h % e.group_channels();
  const int64_t out = number / e.kernel_w / e.kernel_h / e.group_channels();
  const int64_t first = out / e.group_outs() * e.group_channels(), pixels = e.rows * e.columns;
  T sum = 0;
  for (int64_t image = 0; image < batch; ++image) {
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      const T factor = g[(image * e.outs + out) * pixels + pixel];
      e.at_tap(image, first + channel, pixel / e.columns, pixel % e.columns, i, j,
               [&](int64_t at) { sum += x[at] * factor; });
    }
  }
  result[number] = sum;
}

/// Stores an element of the result with its bias.
struct AddBias {
  const float* bias;        // of each channel; may be null
  int64_t channels, plane;  // plane: elements of a channel
  float* result;

  __device__ void operator()(int64_t number, float sum) const {
    result[number] = bias ? sum + bias[number / plane % channels] : sum;
  }
};

/// The result of products.
struct Result {
  const Tensor& out;
  const Tensor& bias;  // of each channel; may be undefined
  int64_t plane;       // elements of a channel
};

// Calls f(tile as a type, its launch, shape of the products, where the sums go, bias or null).
template <typename F>
void with_tiles(const ProductShape& shape, const Result& result, const F& f) {
  auto* const out = elements_of<float>(result.out);
  const auto* const bias = elements_of<const float>(result.bias);
  const auto run = [&](auto tile) {
    run_split<decltype(tile)>(
        result.out, shape,
        [&](const simt::LaunchShape& launch, const ProductShape& parts, float* sums) {
          f(tile, launch, parts, sums ? sums : out, sums ? nullptr : bias);
        },
        AddBias{bias, result.out.size(1), result.plane, out});
  };
  if (fits<LargeRegisterTile>(shape)) return run(LargeRegisterTile());
  fits<WideRegisterTile>(shape) ? run(WideRegisterTile()) : run(SmallRegisterTile());
}

// Whether the products' integers suffice.
bool takes_products(const Extents& e, int64_t batch) {
  const ConvolutionOptions& o = e.options;
  return std::ranges::all_of(
      std::array{e.height + o.top + o.bottom, e.width + o.left + o.right, e.channels * e.height * e.width,
                 e.outs * e.rows * e.columns, batch * e.rows * e.columns, batch * e.height * e.width,
                 e.outs * e.group_channels() * e.kernel_h * e.kernel_w, o.stride_h, o.stride_w, o.dilation_h,
                 o.dilation_w},
      [](int64_t extent) { return extent < kMostProductExtent; });
}

void run_product(const char* name, const ConvolutionProduct& product, const ProductShape& shape,
                 const Result& result) {
  with_tiles(shape, result,
             [&](auto tile, const simt::LaunchShape& launch, const ProductShape& parts, float* sums,
                 const float* bias) {
               ConvolutionProduct of_tile = product;
               of_tile.result = sums;
               of_tile.bias = bias;
               launch_kernel(name, convolve_by_product<decltype(tile)>, launch, of_tile, parts);
             });
}

// Of the gradient of x: the images are g, and each phase is a convolution of its own.
ConvolutionProduct gradient_product(const Extents& e, const Tensor& g, const Tensor& weight) {
  ConvolutionProduct product = forward_product(e, g, weight);
  const auto taps = static_cast<int>(e.kernel_h * e.kernel_w);
  const int64_t phases_down = std::min(e.options.stride_h, e.height),
                phases_across = std::min(e.options.stride_w, e.width);
  std::swap(product.channels, product.rows);
  product.phases = static_cast<int>(phases_down * phases_across);
  product.phases_across = static_cast<int>(phases_across);
  product.weight_channel = static_cast<int>(e.group_channels()) * taps;
  product.weight_row = taps;
  product.result_w = e.width;
  product.result_plane = e.height * e.width;
  product.result_count = g.size(0) * e.channels * e.height * e.width;
  return product;
}

// With the windows and the taps of the phase that has most.
ProductShape gradient_shape(const Extents& e, const ConvolutionProduct& product) {
  const auto ceil_divide = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const auto taps = [&](const WindowAxis& axis) { return ceil_divide(axis.taps, axis.stride / axis.common); };
  return {
      e.group_channels(),
      product.batch * ceil_divide(e.height, e.options.stride_h) * ceil_divide(e.width, e.options.stride_w),
      e.group_outs() * taps(product.down) * taps(product.across), e.options.groups * product.phases};
}

}  // namespace

template <>
void run_kernels(const call::Conv2d& call) {
  const int64_t count = call.out.elements();
  if (count == 0 || convolve_by_cudnn(call)) return;
  const Extents e(call.x, call.weight, call.out, call.options);
  if (call.x.dtype() == Dtype::float32 && e.group_outs() > 1 && takes_products(e, call.x.size(0))) {
    return run_product(call.name(), forward_product(e, call.x, call.weight), forward_shape(e, call.x.size(0)),
                       {call.out, call.bias, e.rows * e.columns});
  }
  dispatch_real(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), convolve_directly<T>, threads_for(count, kDirectThreads),
                  elements_of<const T>(call.x), elements_of<const T>(call.weight),
                  elements_of<const T>(call.bias), elements_of<T>(call.out), e, count);
  });
}

template <>
void run_kernels(const call::Conv2dGradientX& call) {
  const int64_t count = call.out.elements();
  if (count == 0 || convolve_by_cudnn(call)) return;
  const Extents e(call.out, call.weight, call.g, call.options);
  if (call.g.dtype() == Dtype::float32 && e.group_channels() > 1 && takes_products(e, call.g.size(0))) {
    const ConvolutionProduct product = gradient_product(e, call.g, call.weight);
    return run_product(call.name(), product, gradient_shape(e, product),
                       {call.out, call.bias, e.height * e.width});
  }
  dispatch_real(call.g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), gradient_x<T>, threads_for(count, kDirectThreads),
                  elements_of<const T>(call.g), elements_of<const T>(call.weight),
                  elements_of<const T>(call.bias), elements_of<T>(call.out), e, count);
  });
}

template <>
void run_kernels(const call::Conv2dGradientWeight& call) {
  const int64_t count = call.out.elements();
  if (count == 0 || convolve_by_cudnn(call)) return;
  const Extents e(call.x, call.out, call.g, call.options);
  if (call.g.dtype() == Dtype::float32 && takes_products(e, call.x.size(0))) {
    return with_tiles(weight_shape(e, call.x.size(0)), {call.out, {}, 1},
                      [&](auto tile, const simt::LaunchShape& launch, const ProductShape& parts, float* sums,
                          const float*) {
                        launch_kernel(call.name(), weight_gradient_by_product<decltype(tile)>, launch,
                                      weight_product(e, call.g, call.x), parts, PlainStore{sums});
                      });
  }
  dispatch_real(call.g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), gradient_weight<T>, threads_for(count, kDirectThreads),
                  elements_of<const T>(call.g), elements_of<const T>(call.x), elements_of<T>(call.out), e,
                  call.x.size(0), count);
  });
}

}  // namespace haze::HAZE_KERNELS
