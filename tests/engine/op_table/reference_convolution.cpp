#include "engine/op_table/reference.h"

// Convolution as ops.h defines it, term by term.
namespace haze::reference {
namespace {

struct Images {
  Shape x, weight, windows;  // windows: [batch, out, out_h, out_w]
};

int64_t windows_along(int64_t extent, int64_t padding, int64_t kernel, int64_t dilation, int64_t stride) {
  return (extent + padding - (kernel - 1) * dilation - 1) / stride + 1;
}

Images images_of(const Shape& x, const Shape& weight, const ConvolutionOptions& o) {
  const int64_t down = windows_along(x[2], o.top + o.bottom, weight[2], o.dilation_h, o.stride_h);
  const int64_t across = windows_along(x[3], o.left + o.right, weight[3], o.dilation_w, o.stride_w);
  return {x, weight, {x[0], weight[0], down, across}};
}

// Calls f(number of the window, of the weight's element, of the pixel under it), without those on padding.
template <typename F>
void for_each_term(const Images& images, const ConvolutionOptions& o, F&& f) {
  const Shape &x = images.x, &weight = images.weight, &windows = images.windows;
  const int64_t taps = weight[1] * weight[2] * weight[3];
  for (int64_t window = 0; window < windows.elements(); ++window) {
    const Shape at = index_of(window, windows);
    const int64_t first_channel = at[1] / (windows[1] / o.groups) * weight[1];
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t channel = first_channel + tap / (weight[2] * weight[3]);
      const int64_t row = at[2] * o.stride_h + tap / weight[3] % weight[2] * o.dilation_h - o.top;
      const int64_t column = at[3] * o.stride_w + tap % weight[3] * o.dilation_w - o.left;
      if (row < 0 || row >= x[2] || column < 0 || column >= x[3]) continue;
      f(static_cast<size_t>(window), static_cast<size_t>(at[1] * taps + tap),
        static_cast<size_t>(((at[0] * x[1] + channel) * x[2] + row) * x[3] + column));
    }
  }
}

// Sums of products, which the engine may add up in any order.
class ProductSums {
 public:
  explicit ProductSums(const Shape& shape)
      : result_(shape), sums_(result_.values.size()), counts_(sums_.size()) {}
  void add(size_t i, double a, double b = 1) {
    sums_[i] += static_cast<Sum>(a) * b;
    result_.error[i] += std::abs(a * b);
    ++counts_[i];
  }
  void add_bias(const Array& bias) {
    if (bias.values.empty()) return;
    for (size_t i = 0; i < sums_.size(); ++i) {
      add(i, bias.values[static_cast<size_t>(index_of(static_cast<int64_t>(i), result_.shape)[1])]);
    }
  }
  Array take() {
    for (size_t i = 0; i < sums_.size(); ++i) {
      result_.values[i] = static_cast<double>(sums_[i]);
      result_.error[i] *= rounding_of_sum(counts_[i]);
    }
    return result_;
  }

 private:
  Array result_;
  std::vector<Sum> sums_;
  std::vector<int64_t> counts_;
};

}  // namespace

Array conv2d(const Array& x, const Array& weight, const Array& bias, const ConvolutionOptions& options) {
  const Images images = images_of(x.shape, weight.shape, options);
  ProductSums sums(images.windows);
  for_each_term(images, options, [&](size_t window, size_t tap, size_t pixel) {
    sums.add(window, weight.values[tap], x.values[pixel]);
  });
  sums.add_bias(bias);
  return sums.take();
}

Array conv2d_gradient_x(const Array& g, const Array& weight, const Array& bias, int64_t height, int64_t width,
                        const ConvolutionOptions& options) {
  const Images images =
      images_of({g.shape[0], weight.shape[1] * options.groups, height, width}, weight.shape, options);
  ProductSums sums(images.x);
  for_each_term(images, options, [&](size_t window, size_t tap, size_t pixel) {
    sums.add(pixel, weight.values[tap], g.values[window]);
  });
  sums.add_bias(bias);
  return sums.take();
}

Array conv2d_gradient_weight(const Array& g, const Array& x, int64_t kernel_h, int64_t kernel_w,
                             const ConvolutionOptions& options) {
  const Images images =
      images_of(x.shape, {g.shape[1], x.shape[1] / options.groups, kernel_h, kernel_w}, options);
  ProductSums sums(images.weight);
  for_each_term(images, options, [&](size_t window, size_t tap, size_t pixel) {
    sums.add(tap, g.values[window], x.values[pixel]);
  });
  return sums.take();
}

}  // namespace haze::reference
