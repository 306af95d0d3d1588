#include "haze/engine/ops/images.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

// A kernel's size and how it moves over an image.
struct Kernel {
  int64_t height, width, stride, padding;
};

struct Extent {
  int64_t height, width;
};

// How often the kernel fits an image, down and across.
Extent checked_windows(const char* operation, const Extent& image, const Kernel& kernel) {
  if (kernel.height < 1 || kernel.width < 1) {
    fail("{}: the kernel is {} x {}, it takes 1 or more", operation, kernel.height, kernel.width);
  }
  if (kernel.stride < 1) fail("{}: the stride is {}, it takes 1 or more", operation, kernel.stride);
  constexpr int64_t kMost = int64_t{1} << 31;  // sums of extents below do not overflow
  if (kernel.padding < 0) fail("{}: the padding is {}, it takes 0 or more", operation, kernel.padding);
  if (kernel.padding > kMost) {
    fail("{}: the padding is {}, it takes at most {}", operation, kernel.padding, kMost);
  }
  const int64_t down = image.height + 2 * kernel.padding - kernel.height;
  const int64_t across = image.width + 2 * kernel.padding - kernel.width;
  if (down < 0 || across < 0) {
    fail("{}: a kernel of {} x {} does not fit an image of {} x {} with padding {}", operation, kernel.height,
         kernel.width, image.height, image.width, kernel.padding);
  }
  return {down / kernel.stride + 1, across / kernel.stride + 1};
}

// The shape of x pooled by windows of size x size.
Shape pooled_shape(const char* operation, const Tensor& x, int64_t size) {
  check_floating(operation, "x", x);
  check_rank(operation, "x", x, 4);
  if (size < 1) fail("{}: the size is {}, it takes 1 or more", operation, size);
  if (x.size(2) % size != 0 || x.size(3) % size != 0) {
    fail("{}: x has shape {}, it takes a height and a width that are multiples of {}", operation,
         x.shape().to_string(), size);
  }
  return {x.size(0), x.size(1), x.size(2) / size, x.size(3) / size};
}

}  // namespace

Tensor unfold(const Tensor& x, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding) {
  check_rank("unfold", "x", x, 4);
  const Kernel kernel{kernel_h, kernel_w, stride, padding};
  const Extent windows = checked_windows("unfold", {x.size(2), x.size(3)}, kernel);
  Tensor result({x.size(0), x.size(1) * kernel_h * kernel_w, windows.height * windows.width}, x.dtype(),
                x.device());
  launch(call::Unfold{contiguous(x), kernel_h, kernel_w, stride, padding, result});
  return result;
}

Tensor fold(const Tensor& columns, int64_t height, int64_t width, int64_t kernel_h, int64_t kernel_w,
            int64_t stride, int64_t padding) {
  check_floating("fold", "columns", columns);
  check_rank("fold", "columns", columns, 3);
  if (height < 0 || width < 0) fail("fold: an image of {} x {} has a negative extent", height, width);
  const Kernel kernel{kernel_h, kernel_w, stride, padding};
  const Extent windows = checked_windows("fold", {height, width}, kernel);
  const int64_t taps = kernel_h * kernel_w;
  if (columns.size(1) % taps != 0 || columns.size(2) != windows.height * windows.width) {
    fail("fold: columns has shape {}, it takes [batch, a multiple of {}, {}]", columns.shape().to_string(),
         taps, windows.height * windows.width);
  }
  Tensor result({columns.size(0), columns.size(1) / taps, height, width}, columns.dtype(), columns.device());
  launch(call::Fold{contiguous(columns), kernel_h, kernel_w, stride, padding, result});
  return result;
}

Tensor average_pool(const Tensor& x, int64_t size) {
  Tensor result(pooled_shape("average_pool", x, size), x.dtype(), x.device());
  launch(call::AveragePool{contiguous(x), size, result});
  return result;
}

std::pair<Tensor, Tensor> max_pool(const Tensor& x, int64_t size) {
  const Shape shape = pooled_shape("max_pool", x, size);
  Tensor values(shape, x.dtype(), x.device());
  Tensor indices(shape, Dtype::int32, x.device());
  launch(call::MaxPool{contiguous(x), size, values, indices});
  return {values, indices};
}

Tensor upsample(const Tensor& x, int64_t size) {
  check_rank("upsample", "x", x, 4);
  if (size < 1) fail("upsample: the size is {}, it takes 1 or more", size);
  int64_t height = 0, width = 0;
  if (__builtin_mul_overflow(x.size(2), size, &height) || __builtin_mul_overflow(x.size(3), size, &width)) {
    fail("upsample: the size is {}, and no tensor has so many pixels", size);
  }
  Tensor result({x.size(0), x.size(1), height, width}, x.dtype(), x.device());
  launch(call::Upsample{contiguous(x), size, result});
  return result;
}

}  // namespace haze
