#include "haze/engine/cuda/cudnn.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "haze/engine/simt/checker.h"
#include "haze/engine/simt/launch.h"
#include "haze/engine/simt/tensor_cores.h"

// A stand-in for cuDNN on the emulated GPU, so that what calls it is tested without a GPU. It refuses what
// the library refuses, and adds up in float64. float32 operands are rounded to tf32 where the mathematics of
// tensor cores are not switched off.
namespace haze {

namespace cudnn {

struct Extents4 {
  ElementType type;
  std::array<int, 4> extents;

  size_t elements() const {
    size_t result = 1;
    for (int extent : extents) result *= static_cast<size_t>(extent);
    return result;
  }
};
struct TensorDescriptor {
  std::optional<Extents4> of;
};
struct FilterDescriptor {
  std::optional<Extents4> of;
};
struct ConvolutionDescriptor {
  bool set = false;
  std::array<int, 2> padding, stride, dilation;
  ElementType compute;
  int groups = 1;
  MathType math = kDefaultMath;
};

}  // namespace cudnn

namespace {

using cudnn::ConvolutionDescriptor;
using cudnn::ElementType;
using cudnn::Extents4;
using cudnn::FilterDescriptor;
using cudnn::Status;
using cudnn::TensorDescriptor;

constexpr size_t kLeastWorkspaceBytes = 256;

template <typename D>
Status create(D** descriptor) {
  if (!descriptor) return cudnn::kBadParameter;
  *descriptor = new D();
  return cudnn::kSuccess;
}
template <typename D>
Status destroy(D* descriptor) {
  delete descriptor;
  return cudnn::kSuccess;
}

Status set_extents(std::optional<Extents4>& of, cudnn::Format format, ElementType type,
                   const std::array<int, 4>& extents) {
  bool valid = format == cudnn::kNchw && (type == cudnn::kFloat32 || type == cudnn::kFloat64);
  for (int extent : extents) valid = valid && extent > 0;
  if (!valid) return cudnn::kBadParameter;
  of = Extents4{type, extents};
  return cudnn::kSuccess;
}
Status set_tensor(TensorDescriptor* x, cudnn::Format format, ElementType type, int batch, int channels,
                  int height, int width) {
  return x ? set_extents(x->of, format, type, {batch, channels, height, width}) : cudnn::kBadParameter;
}
Status set_filter(FilterDescriptor* w, ElementType type, cudnn::Format format, int outs, int channels,
                  int height, int width) {
  return w ? set_extents(w->of, format, type, {outs, channels, height, width}) : cudnn::kBadParameter;
}

Status set_convolution(ConvolutionDescriptor* c, int pad_h, int pad_w, int stride_h, int stride_w,
                       int dilation_h, int dilation_w, cudnn::Mode mode, ElementType compute) {
  if (!c || pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1 || dilation_h < 1 || dilation_w < 1 ||
      mode != cudnn::kCrossCorrelation) {
    return cudnn::kBadParameter;
  }
  c->set = true;
  c->padding = {pad_h, pad_w};
  c->stride = {stride_h, stride_w};
  c->dilation = {dilation_h, dilation_w};
  c->compute = compute;
  return cudnn::kSuccess;
}
Status set_groups(ConvolutionDescriptor* c, int groups) {
  if (!c || groups < 1) return cudnn::kBadParameter;
  c->groups = groups;
  return cudnn::kSuccess;
}
Status set_math(ConvolutionDescriptor* c, cudnn::MathType math) {
  if (!c || (math != cudnn::kDefaultMath && math != cudnn::kFma)) return cudnn::kBadParameter;
  c->math = math;
  return cudnn::kSuccess;
}

/// The descriptors of a convolution, which fit each other.
class Problem {
 public:
  Problem(const TensorDescriptor* x, const FilterDescriptor* w, const ConvolutionDescriptor* c,
          const TensorDescriptor* y) {
    if (!x || !w || !c || !y || !x->of || !w->of || !c->set || !y->of) return;
    x_ = *x->of, w_ = *w->of, y_ = *y->of, c_ = *c;
    fits_ = x_.type == w_.type && x_.type == y_.type && x_.type == c_.compute &&
            y_.extents[0] == x_.extents[0] && y_.extents[1] == w_.extents[0] &&
            x_.extents[1] == w_.extents[1] * c_.groups && w_.extents[0] % c_.groups == 0 &&
            y_.extents[2] == windows_along(0) && y_.extents[3] == windows_along(1);
  }
  bool fits() const { return fits_; }
  ElementType type() const { return x_.type; }
  const Extents4& x() const { return x_; }
  const Extents4& w() const { return w_; }
  const Extents4& y() const { return y_; }
  /// Of the windows, one in each column: what a product that is not implicit would need.
  size_t workspace_bytes() const {
    const size_t element = type() == cudnn::kFloat64 ? sizeof(double) : sizeof(float);
    const size_t taps = w_.elements() / static_cast<size_t>(w_.extents[0]) * static_cast<size_t>(c_.groups),
                 windows = y_.elements() / static_cast<size_t>(y_.extents[1]);
    return std::max(kLeastWorkspaceBytes, taps * windows * element);
  }

  double at(const void* elements, size_t i) const {
    if (type() == cudnn::kFloat64) return static_cast<const double*>(elements)[i];
    const float value = static_cast<const float*>(elements)[i];
    return c_.math == cudnn::kFma ? value : std::bit_cast<float>(simt::rounded_to_tfloat32(value));
  }

  /// Calls f(number of the pixel, of the weight, of the window) for each product that is not of padding.
  template <typename F>
  void for_each_product(const F& f) const {
    const auto [batch, outs, rows, columns] = y_.extents;
    const auto [image_count, channels, height, width] = x_.extents;
    const int group_outs = outs / c_.groups;
    const auto [w_outs, group_channels, kernel_h, kernel_w] = w_.extents;
    const int taps = group_channels * kernel_h * kernel_w;
    for (size_t window = 0; window < y_.elements(); ++window) {
      const auto number = static_cast<int>(window);
      const int column = number % columns, row = number / columns % rows,
                out = number / columns / rows % outs, image = number / columns / rows / outs;
      for (int tap = 0; tap < taps; ++tap) {
        const int j = tap % kernel_w, i = tap / kernel_w % kernel_h,
                  channel = out / group_outs * group_channels + tap / kernel_w / kernel_h;
        const int y = row * c_.stride[0] - c_.padding[0] + i * c_.dilation[0],
                  x = column * c_.stride[1] - c_.padding[1] + j * c_.dilation[1];
        if (y < 0 || y >= height || x < 0 || x >= width) continue;
        f(static_cast<size_t>(((image * channels + channel) * height + y) * width + x),
          static_cast<size_t>(out * taps + tap), window);
      }
    }
  }

 private:
  int windows_along(size_t axis) const {
    const int span = (w_.extents[axis + 2] - 1) * c_.dilation[axis] + 1,
              extent = x_.extents[axis + 2] + 2 * c_.padding[axis];
    return extent < span ? 0 : (extent - span) / c_.stride[axis] + 1;
  }

  Extents4 x_{}, w_{}, y_{};
  ConvolutionDescriptor c_{};
  bool fits_ = false;
};

/// A factor of the host's.
double factor(const Problem& problem, const void* number) {
  return problem.type() == cudnn::kFloat64 ? *static_cast<const double*>(number)
                                           : *static_cast<const float*>(number);
}

template <typename T>
void write(const std::vector<double>& sums, double by, double keep, void* result) {
  T* const to = static_cast<T*>(result);
  for (size_t i = 0; i < sums.size(); ++i)
    to[i] = static_cast<T>(by * sums[i] + (keep == 0 ? 0 : keep * static_cast<double>(to[i])));
  if (simt::is_checked()) simt::mark_initialised(to, sums.size() * sizeof(T));
}

Status workspace_bytes(const Problem& problem, bool known, size_t* bytes) {
  if (!problem.fits() || !bytes) return cudnn::kBadParameter;
  if (!known) return cudnn::kNotSupported;
  *bytes = problem.workspace_bytes();
  return cudnn::kSuccess;
}

/// result [extents] = alpha sums + beta result, where products(sums) adds them up.
template <typename F>
Status compute(const Problem& problem, bool known, void* workspace, size_t bytes, const Extents4& extents,
               const void* alpha, const void* beta, void* result, const F& products) {
  if (!problem.fits() || !alpha || !beta || !result) return cudnn::kBadParameter;
  if (!known) return cudnn::kNotSupported;
  const size_t needed = problem.workspace_bytes();
  if (!workspace || bytes < needed) return cudnn::kSizeInsufficient;
  const bool is_wide = problem.type() == cudnn::kFloat64;
  // The factors are read now, as the library does.
  simt::run_in_order(
      [=, count = extents.elements(), by = factor(problem, alpha), keep = factor(problem, beta)] {
        std::memset(workspace, 0xFF, needed);
        std::vector<double> sums(count);
        products(sums);
        is_wide ? write<double>(sums, by, keep, result) : write<float>(sums, by, keep, result);
      });
  return cudnn::kSuccess;
}

Status forward_bytes(cudnn::Context*, TensorDescriptor* x, FilterDescriptor* w, ConvolutionDescriptor* c,
                     TensorDescriptor* y, cudnn::ForwardAlgorithm by, size_t* bytes) {
  return workspace_bytes({x, w, c, y}, by == cudnn::kImplicitProduct, bytes);
}
Status forward(cudnn::Context*, const void* alpha, TensorDescriptor* of_x, const void* x,
               FilterDescriptor* of_w, const void* w, ConvolutionDescriptor* c, cudnn::ForwardAlgorithm by,
               void* workspace, size_t bytes, const void* beta, TensorDescriptor* of_y, void* y) {
  const Problem p(of_x, of_w, c, of_y);
  return compute(p, by == cudnn::kImplicitProduct, workspace, bytes, p.y(), alpha, beta, y,
                 [=](std::vector<double>& sums) {
                   p.for_each_product([&](size_t pixel, size_t weight, size_t window) {
                     sums[window] += p.at(x, pixel) * p.at(w, weight);
                   });
                 });
}

Status data_bytes(cudnn::Context*, FilterDescriptor* w, TensorDescriptor* g, ConvolutionDescriptor* c,
                  TensorDescriptor* x, cudnn::DataAlgorithm by, size_t* bytes) {
  return workspace_bytes({x, w, c, g}, by == cudnn::kDataByProduct, bytes);
}
Status data(cudnn::Context*, const void* alpha, FilterDescriptor* of_w, const void* w, TensorDescriptor* of_g,
            const void* g, ConvolutionDescriptor* c, cudnn::DataAlgorithm by, void* workspace, size_t bytes,
            const void* beta, TensorDescriptor* of_x, void* to_x) {
  const Problem p(of_x, of_w, c, of_g);
  return compute(p, by == cudnn::kDataByProduct, workspace, bytes, p.x(), alpha, beta, to_x,
                 [=](std::vector<double>& sums) {
                   p.for_each_product([&](size_t pixel, size_t weight, size_t window) {
                     sums[pixel] += p.at(g, window) * p.at(w, weight);
                   });
                 });
}

Status filter_bytes(cudnn::Context*, TensorDescriptor* x, TensorDescriptor* g, ConvolutionDescriptor* c,
                    FilterDescriptor* w, cudnn::FilterAlgorithm by, size_t* bytes) {
  return workspace_bytes({x, w, c, g}, by == cudnn::kFilterByProduct, bytes);
}
Status filter(cudnn::Context*, const void* alpha, TensorDescriptor* of_x, const void* x,
              TensorDescriptor* of_g, const void* g, ConvolutionDescriptor* c, cudnn::FilterAlgorithm by,
              void* workspace, size_t bytes, const void* beta, FilterDescriptor* of_w, void* to_w) {
  const Problem p(of_x, of_w, c, of_g);
  return compute(p, by == cudnn::kFilterByProduct, workspace, bytes, p.w(), alpha, beta, to_w,
                 [=](std::vector<double>& sums) {
                   p.for_each_product([&](size_t pixel, size_t weight, size_t window) {
                     sums[weight] += p.at(g, window) * p.at(x, pixel);
                   });
                 });
}

const cudnn::Library* stand_in() {
  static constexpr cudnn::Library kLibrary{.context = nullptr,
                                           .create_tensor = create<TensorDescriptor>,
                                           .set_tensor = set_tensor,
                                           .destroy_tensor = destroy<TensorDescriptor>,
                                           .create_filter = create<FilterDescriptor>,
                                           .set_filter = set_filter,
                                           .destroy_filter = destroy<FilterDescriptor>,
                                           .create_convolution = create<ConvolutionDescriptor>,
                                           .set_convolution = set_convolution,
                                           .set_groups = set_groups,
                                           .set_math = set_math,
                                           .destroy_convolution = destroy<ConvolutionDescriptor>,
                                           .forward_bytes = forward_bytes,
                                           .forward = forward,
                                           .data_bytes = data_bytes,
                                           .data = data,
                                           .filter_bytes = filter_bytes,
                                           .filter = filter};
  return convolution_by() == ConvolutionBy::cudnn ? &kLibrary : nullptr;
}

}  // namespace

namespace fast {
const cudnn::Library* cudnn_library() {
  return stand_in();
}
}  // namespace fast
namespace checked {
const cudnn::Library* cudnn_library() {
  return stand_in();
}
}  // namespace checked

}  // namespace haze
