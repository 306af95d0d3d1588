#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops/images.h"

// A thread has one element of the result and reads what it needs from the operand. fold, too, sums in a fixed
// order.
namespace haze::HAZE_KERNELS {
namespace {

// How the windows of unfold and fold lie on an image.
struct Windows {
  int64_t height, width;  // of the image
  int64_t kernel_h, kernel_w, stride, padding;
  int64_t down, across;  // windows

  template <typename Call>
  Windows(const Call& call, const Tensor& image)
      : height(image.size(2)),
        width(image.size(3)),
        kernel_h(call.kernel_h),
        kernel_w(call.kernel_w),
        stride(call.stride),
        padding(call.padding),
        down((height + 2 * padding - kernel_h) / stride + 1),
        across((width + 2 * padding - kernel_w) / stride + 1) {}
};

template <typename T>
__global__ void unfold(const T* x, T* out, Windows windows, int64_t count) {
  const int64_t i = thread_number();
  if (i >= count) return;
  const int64_t across = i % windows.across, down = i / windows.across % windows.down;
  const int64_t row = i / windows.across / windows.down;  // one tap of one plane
  const int64_t tap = row % (windows.kernel_h * windows.kernel_w);
  const int64_t plane = row / (windows.kernel_h * windows.kernel_w);
  const int64_t y = down * windows.stride + tap / windows.kernel_w - windows.padding;
  const int64_t pixel = across * windows.stride + tap % windows.kernel_w - windows.padding;
  const bool is_inside = y >= 0 && y < windows.height && pixel >= 0 && pixel < windows.width;
  out[i] = is_inside ? x[(plane * windows.height + y) * windows.width + pixel] : T{};
}

// The window that has a pixel at tap `tap` along one axis; -1 where none has.
__device__ int64_t window_with(int64_t pixel, int64_t tap, int64_t stride, int64_t padding, int64_t windows) {
  const int64_t start = pixel + padding - tap;
  return start < 0 || start % stride != 0 || start / stride >= windows ? -1 : start / stride;
}

template <typename T>
__global__ void fold(const T* columns, T* out, Windows windows, int64_t count) {
  const int64_t i = thread_number();
  if (i >= count) return;
  const int64_t x = i % windows.width, y = i / windows.width % windows.height;
  const int64_t plane = i / windows.width / windows.height;
  Wide<T> sum = 0;
  for (int64_t tap_y = 0; tap_y < windows.kernel_h; ++tap_y) {
    const int64_t down = window_with(y, tap_y, windows.stride, windows.padding, windows.down);
    if (down < 0) continue;
    for (int64_t tap_x = 0; tap_x < windows.kernel_w; ++tap_x) {
      const int64_t across = window_with(x, tap_x, windows.stride, windows.padding, windows.across);
      if (across < 0) continue;
      const int64_t row = (plane * windows.kernel_h + tap_y) * windows.kernel_w + tap_x;
      sum += Wide<T>(columns[(row * windows.down + down) * windows.across + across]);
    }
  }
  out[i] = T(sum);
}

// `width` is the result's. The rows of windows follow one another through all planes.
template <typename T>
__global__ void average_pool(const T* x, T* out, int64_t size, int64_t width, int64_t count) {
  using W = Wide<T>;
  const int64_t i = thread_number();
  if (i >= count) return;
  const T* const window = x + i / width * size * width * size + i % width * size;
  W sum = 0;
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t j = 0; j < size; ++j) sum += W(window[y * width * size + j]);
  }
  out[i] = T(sum * (W(1) / static_cast<W>(size * size)));
}

// The first of the largest; a NaN is larger than every number. `height` and `width` are the result's.
template <typename T>
__global__ void max_pool(const T* x, T* out, int32_t* indices, int64_t size, int64_t height, int64_t width,
                         int64_t count) {
  using W = Wide<T>;
  const int64_t i = thread_number();
  if (i >= count) return;
  const int64_t row_length = width * size;
  const T* const plane = x + i / width / height * height * size * row_length;
  const int64_t first = i / width % height * size * row_length + i % width * size;
  int64_t best = first;
  W largest = W(plane[first]);
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t at = first + y * row_length; at < first + y * row_length + size; ++at) {
      const W value = W(plane[at]);
      const bool is_first_nan = value != value && largest == largest;
      if (!(value > largest) && !is_first_nan) continue;
      best = at;
      largest = value;
    }
  }
  out[i] = plane[best];
  indices[i] = static_cast<int32_t>(best);
}

// `width` is the result's.
template <typename T>
__global__ void upsample(const T* x, T* out, int64_t size, int64_t width, int64_t count) {
  const int64_t i = thread_number();
  if (i < count) out[i] = x[i / width / size * (width / size) + i % width / size];
}

}  // namespace

template <>
void run_kernels(const call::Unfold& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), unfold<T>, threads_for(count), elements_of<const T>(call.x),
                  elements_of<T>(call.out), Windows(call, call.x), count);
  });
}

template <>
void run_kernels(const call::Fold& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_floating(call.out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), fold<T>, threads_for(count), elements_of<const T>(call.columns),
                  elements_of<T>(call.out), Windows(call, call.out), count);
  });
}

template <>
void run_kernels(const call::AveragePool& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), average_pool<T>, threads_for(count), elements_of<const T>(call.x),
                  elements_of<T>(call.out), call.size, call.out.size(3), count);
  });
}

template <>
void run_kernels(const call::MaxPool& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), max_pool<T>, threads_for(count), elements_of<const T>(call.x),
                  elements_of<T>(call.out), elements_of<int32_t>(call.indices), call.size, call.out.size(2),
                  call.out.size(3), count);
  });
}

template <>
void run_kernels(const call::Upsample& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), upsample<T>, threads_for(count), elements_of<const T>(call.x),
                  elements_of<T>(call.out), call.size, call.out.size(3), count);
  });
}

}  // namespace haze::HAZE_KERNELS
