#include "haze/engine/ops/convolution.h"

#include <array>

#include "haze/engine/checks.h"

namespace haze {
namespace {

std::string padding_text(const ConvolutionOptions& o) {
  if (o.top == o.bottom && o.top == o.left && o.top == o.right) return fmt::format("{}", o.top);
  return fmt::format("{} + {} by {} + {}", o.top, o.bottom, o.left, o.right);
}

// What does not depend on the image.
void check_options(const char* operation, int64_t kernel_h, int64_t kernel_w, const ConvolutionOptions& o) {
  if (kernel_h < 1 || kernel_w < 1) {
    fail("{}: the kernel is {} x {}, it takes 1 or more", operation, kernel_h, kernel_w);
  }
  const auto check_positive = [&](const char* what, int64_t down, int64_t across) {
    if (down < 1 || across < 1)
      fail("{}: the {} is {}, it takes 1 or more", operation, what, std::min(down, across));
  };
  check_positive("stride", o.stride_h, o.stride_w);
  check_positive("dilation", o.dilation_h, o.dilation_w);
  check_positive("number of groups", o.groups, o.groups);
  const int64_t padding = std::min({o.top, o.bottom, o.left, o.right});
  if (padding < 0) fail("{}: the padding is {}, it takes 0 or more", operation, padding);
  // Sums of extents stay far from overflow.
  constexpr int64_t kMost = int64_t{1} << 31;
  for (int64_t value : {kernel_h, kernel_w, o.stride_h, o.stride_w, o.dilation_h, o.dilation_w, o.top,
                        o.bottom, o.left, o.right}) {
    if (value >= kMost) fail("{}: {} as kernel, stride, dilation or padding is too much", operation, value);
  }
}

// How often the kernel fits an image of height x width, down and across.
std::array<int64_t, 2> checked_windows(const char* operation, int64_t height, int64_t width, int64_t kernel_h,
                                       int64_t kernel_w, const ConvolutionOptions& o) {
  check_options(operation, kernel_h, kernel_w, o);
  const int64_t down = height + o.top + o.bottom - (kernel_h - 1) * o.dilation_h - 1;
  const int64_t across = width + o.left + o.right - (kernel_w - 1) * o.dilation_w - 1;
  if (down < 0 || across < 0) {
    const bool dilated = o.dilation_h > 1 || o.dilation_w > 1;
    fail("{}: a kernel of {} x {}{} does not fit an image of {} x {} with padding {}", operation, kernel_h,
         kernel_w, dilated ? fmt::format(" with dilation {} x {}", o.dilation_h, o.dilation_w) : "", height,
         width, padding_text(o));
  }
  return {down / o.stride_h + 1, across / o.stride_w + 1};
}

void check_images(const char* operation, const char* name, const Tensor& x) {
  check_real(operation, name, x);
  check_rank(operation, name, x, 4);
}

// `x` [batch, channels, ...] of as many channels as `weight` takes.
void check_channels(const char* operation, const char* name, const Tensor& x, const Tensor& weight,
                    int64_t taken) {
  if (x.size(1) != taken) {
    fail("{}: {} of shape {} has {} channels, weight of shape {} takes {}", operation, name,
         x.shape().to_string(), x.size(1), weight.shape().to_string(), taken);
  }
}

void check_groups(const char* operation, int64_t channels, int64_t groups) {
  if (channels % groups != 0) fail("{}: {} channels do not fall into {} groups", operation, channels, groups);
}

// A bias for `channels`, or none.
Tensor checked_bias(const char* operation, const Tensor& x, const Tensor& bias, int64_t channels) {
  if (!bias.defined()) return bias;
  check_same_dtype(operation, x, bias);
  check_shape(operation, "bias", bias, {channels});
  return contiguous(bias);
}

// The result of Conv2dGradientX with all but the shape of g checked against `weight`.
Tensor gradient_x(const char* operation, const char* name, const Tensor& g, const Tensor& weight,
                  const Tensor& bias, int64_t height, int64_t width, const ConvolutionOptions& options) {
  const auto [down, across] =
      checked_windows(operation, height, width, weight.size(2), weight.size(3), options);
  check_shape(operation, name, g, {g.size(0), weight.size(0), down, across});
  const int64_t channels = weight.size(1) * options.groups;
  Tensor result({g.size(0), channels, height, width}, g.dtype(), g.device());
  launch(call::Conv2dGradientX{contiguous(g), contiguous(weight), checked_bias(operation, g, bias, channels),
                               options, result});
  return result;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvolutionOptions& options) {
  check_images("conv2d", "x", x);
  check_rank("conv2d", "weight", weight, 4);
  check_same_dtype("conv2d", x, weight);
  const int64_t channels = weight.size(0);
  const auto [down, across] =
      checked_windows("conv2d", x.size(2), x.size(3), weight.size(2), weight.size(3), options);
  check_channels("conv2d", "x", x, weight, weight.size(1) * options.groups);
  check_groups("conv2d", channels, options.groups);
  const Tensor dense_bias = checked_bias("conv2d", x, bias, channels);
  Tensor result({x.size(0), channels, down, across}, x.dtype(), x.device());
  launch(call::Conv2d{contiguous(x), contiguous(weight), dense_bias, options, result});
  return result;
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride, int64_t padding) {
  return conv2d(x, weight, bias, ConvolutionOptions::even(stride, padding));
}

Tensor conv2d_gradient_x(const Tensor& g, const Tensor& weight, int64_t height, int64_t width,
                         const ConvolutionOptions& options) {
  constexpr const char* kName = "conv2d_gradient_x";
  check_images(kName, "g", g);
  check_rank(kName, "weight", weight, 4);
  check_same_dtype(kName, g, weight);
  if (height < 0 || width < 0) fail("{}: an image of {} x {} has a negative extent", kName, height, width);
  check_options(kName, weight.size(2), weight.size(3), options);
  check_groups(kName, weight.size(0), options.groups);
  return gradient_x(kName, "g", g, weight, {}, height, width, options);
}

Tensor conv2d_gradient_weight(const Tensor& g, const Tensor& x, int64_t kernel_h, int64_t kernel_w,
                              const ConvolutionOptions& options) {
  constexpr const char* kName = "conv2d_gradient_weight";
  check_images(kName, "g", g);
  check_images(kName, "x", x);
  check_same_dtype(kName, g, x);
  const auto [down, across] = checked_windows(kName, x.size(2), x.size(3), kernel_h, kernel_w, options);
  check_shape(kName, "g", g, {x.size(0), g.size(1), down, across});
  check_groups(kName, x.size(1), options.groups);
  check_groups(kName, g.size(1), options.groups);
  Tensor result({g.size(1), x.size(1) / options.groups, kernel_h, kernel_w}, x.dtype(), x.device());
  launch(call::Conv2dGradientWeight{contiguous(g), contiguous(x), options, result});
  return result;
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvolutionOptions& options, int64_t output_padding_h,
                        int64_t output_padding_w) {
  constexpr const char* kName = "conv_transpose2d";
  check_images(kName, "x", x);
  check_rank(kName, "weight", weight, 4);
  check_same_dtype(kName, x, weight);
  check_options(kName, weight.size(2), weight.size(3), options);
  check_channels(kName, "x", x, weight, weight.size(0));
  check_groups(kName, x.size(1), options.groups);
  const auto check_output_padding = [&](int64_t padding, int64_t stride) {
    if (padding < 0 || padding >= stride)
      fail("{}: the output padding is {}, it takes 0 to {}", kName, padding, stride - 1);
  };
  check_output_padding(output_padding_h, options.stride_h);
  check_output_padding(output_padding_w, options.stride_w);
  const auto extent = [&](int64_t windows, int64_t stride, int64_t kernel, int64_t dilation, int64_t padding,
                          int64_t output_padding) {
    return (windows - 1) * stride + (kernel - 1) * dilation + 1 - padding + output_padding;
  };
  const int64_t height = extent(x.size(2), options.stride_h, weight.size(2), options.dilation_h,
                                options.top + options.bottom, output_padding_h);
  const int64_t width = extent(x.size(3), options.stride_w, weight.size(3), options.dilation_w,
                               options.left + options.right, output_padding_w);
  if (x.size(2) < 1 || x.size(3) < 1 || height < 0 || width < 0) {
    fail("{}: images of {} x {} give none with a kernel of {} x {} and padding {}", kName, x.size(2),
         x.size(3), weight.size(2), weight.size(3), padding_text(options));
  }
  return gradient_x(kName, "x", x, weight, bias, height, width, options);
}

}  // namespace haze
