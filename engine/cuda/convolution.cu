#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/convolution.h"

// Direct convolution. A thread has one element of the result, or of the gradient of x, and sums over channels
// and taps in their order; neighbouring threads have neighbouring pixels. An element of the weight's gradient
// is a sum over all pixels of all images, so a block has it.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

/// The extents that the three kernels share. x is [batch, channels, height, width], g and the result [batch,
/// outs, rows, columns], the weight [outs, channels of a group, kernel_h, kernel_w].
struct Extents {
  int64_t channels, height, width, outs, rows, columns, kernel_h, kernel_w;
  ConvolutionOptions options;

  Extents(const Tensor& x, const Tensor& weight, const Tensor& windows, const ConvolutionOptions& of)
      : channels(x.size(1)),
        height(x.size(2)),
        width(x.size(3)),
        outs(windows.size(1)),
        rows(windows.size(2)),
        columns(windows.size(3)),
        kernel_h(weight.size(2)),
        kernel_w(weight.size(3)),
        options(of) {}

  __device__ int64_t group_channels() const { return channels / options.groups; }
  __device__ int64_t group_outs() const { return outs / options.groups; }

  /// Calls f(number of the element of x) where tap (i, j) of the window (row, column) is not padding.
  template <typename F>
  __device__ void at_tap(int64_t batch, int64_t channel, int64_t row, int64_t column, int64_t i, int64_t j,
                         F f) const {
    const int64_t y = row * options.stride_h - options.top + i * options.dilation_h;
    const int64_t x = column * options.stride_w - options.left + j * options.dilation_w;
    if (y >= 0 && y < height && x >= 0 && x < width)
      f(((batch * channels + channel) * height + y) * width + x);
  }

  /// Calls f(number of the element of g) where tap (i, j) of one of its windows is the pixel (y, x).
  template <typename F>
  __device__ void at_window(int64_t batch, int64_t out, int64_t y, int64_t x, int64_t i, int64_t j,
                            F f) const {
    const int64_t down = y + options.top - i * options.dilation_h;
    const int64_t across = x + options.left - j * options.dilation_w;
    if (down < 0 || across < 0 || down % options.stride_h != 0 || across % options.stride_w != 0) return;
    const int64_t row = down / options.stride_h, column = across / options.stride_w;
    if (row < rows && column < columns) f(((batch * outs + out) * rows + row) * columns + column);
  }

  __device__ int64_t weight_number(int64_t out, int64_t channel, int64_t i, int64_t j) const {
    return ((out * group_channels() + channel) * kernel_h + i) * kernel_w + j;
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    convolve(const T* x, const T* weight, const T* bias, T* result, Extents e, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t column = number % e.columns, row = number / e.columns % e.rows;
  const int64_t out = number / e.columns / e.rows % e.outs, batch = number / e.columns / e.rows / e.outs;
  const int64_t first = out / e.group_outs() * e.group_channels();
  T sum = 0;
  for (int64_t c = 0; c < e.group_channels(); ++c) {
    for (int64_t i = 0; i < e.kernel_h; ++i) {
      for (int64_t j = 0; j < e.kernel_w; ++j) {
        const T factor = weight[e.weight_number(out, c, i, j)];
        e.at_tap(batch, first + c, row, column, i, j, [&](int64_t at) { sum += x[at] * factor; });
      }
    }
  }
  result[number] = bias ? sum + bias[out] : sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    gradient_x(const T* g, const T* weight, const T* bias, T* result, Extents e, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t x = number % e.width, y = number / e.width % e.height;
  const int64_t channel = number / e.width / e.height % e.channels;
  const int64_t batch = number / e.width / e.height / e.channels;
  const int64_t first = channel / e.group_channels() * e.group_outs();
  T sum = 0;
  for (int64_t out = first; out < first + e.group_outs(); ++out) {
    for (int64_t i = 0; i < e.kernel_h; ++i) {
      for (int64_t j = 0; j < e.kernel_w; ++j) {
        const T factor = weight[e.weight_number(out, channel % e.group_channels(), i, j)];
        e.at_window(batch, out, y, x, i, j, [&](int64_t at) { sum += g[at] * factor; });
      }
    }
  }
  result[number] = bias ? sum + bias[channel] : sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    gradient_weight(const T* g, const T* x, T* result, Extents e, int64_t batch) {
  SHARED(T, scratch, [kThreads / kWarp]);
  const int64_t number = blockIdx.x;
  const int64_t j = number % e.kernel_w, i = number / e.kernel_w % e.kernel_h;
  const int64_t channel = number / e.kernel_w / e.kernel_h % e.group_channels();
  const int64_t out = number / e.kernel_w / e.kernel_h / e.group_channels();
  const int64_t first = out / e.group_outs() * e.group_channels(), pixels = e.rows * e.columns;
  T sum = 0;
  for (int64_t p = threadIdx.x; p < batch * pixels; p += kThreads) {
    const int64_t image = p / pixels, pixel = p % pixels;
    const T factor = g[(image * e.outs + out) * pixels + pixel];
    e.at_tap(image, first + channel, pixel / e.columns, pixel % e.columns, i, j,
             [&](int64_t at) { sum += x[at] * factor; });
  }
  sum = over_block<kThreads>(sum, scratch, Plus());
  if (threadIdx.x == 0) result[number] = sum;
}

}  // namespace

template <>
void run_kernels(const call::Conv2d& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_real(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), convolve<T>, threads_for(count, kThreads), elements_of<const T>(call.x),
                  elements_of<const T>(call.weight), elements_of<const T>(call.bias),
                  elements_of<T>(call.out), Extents(call.x, call.weight, call.out, call.options), count);
  });
}

template <>
void run_kernels(const call::Conv2dGradientX& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_real(call.g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), gradient_x<T>, threads_for(count, kThreads), elements_of<const T>(call.g),
                  elements_of<const T>(call.weight), elements_of<const T>(call.bias),
                  elements_of<T>(call.out), Extents(call.out, call.weight, call.g, call.options), count);
  });
}

template <>
void run_kernels(const call::Conv2dGradientWeight& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_real(call.g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), gradient_weight<T>, {{static_cast<unsigned>(count)}, {kThreads}},
                  elements_of<const T>(call.g), elements_of<const T>(call.x), elements_of<T>(call.out),
                  Extents(call.x, call.out, call.g, call.options), call.x.size(0));
  });
}

}  // namespace haze::HAZE_KERNELS
