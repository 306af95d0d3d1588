#pragma once

#include <limits>

#include "haze/engine/cuda/cudnn.h"
#include "haze/engine/cuda/gpu.h"
#include "haze/engine/error.h"
#include "haze/engine/ops/convolution.h"

/// Convolutions by cuDNN. The bias is added by a kernel of its own.
namespace haze::HAZE_KERNELS {

/// One of cuDNN's descriptors, for a while.
template <typename D>
class CudnnDescriptor {
 public:
  CudnnDescriptor(cudnn::Status (*create)(D**), cudnn::Status (*destroy)(D*)) : destroy_(destroy) {
    if (create(&descriptor_) != cudnn::kSuccess) fail("cuDNN makes no descriptor");
  }
  ~CudnnDescriptor() { destroy_(descriptor_); }
  CudnnDescriptor(const CudnnDescriptor&) = delete;
  CudnnDescriptor& operator=(const CudnnDescriptor&) = delete;
  operator D*() const { return descriptor_; }

 private:
  cudnn::Status (*destroy_)(D*);
  D* descriptor_ = nullptr;
};

/// cuDNN's algorithms may ask for as much as all windows take, many times the images.
constexpr size_t kMostWorkspaceBytes = size_t{256} << 20;

/// A convolution as cuDNN has it. windows is the result, or its gradient.
class CudnnConvolution {
 public:
  CudnnConvolution(const cudnn::Library& library, const char* name, const Tensor& x, const Tensor& weight,
                   const Tensor& windows, const ConvolutionOptions& options)
      : library_(library),
        name_(name),
        like_(x),
        x_(library.create_tensor, library.destroy_tensor),
        windows_(library.create_tensor, library.destroy_tensor),
        weight_(library.create_filter, library.destroy_filter),
        convolution_(library.create_convolution, library.destroy_convolution) {
    const auto type = x.dtype() == Dtype::float32 ? cudnn::kFloat32 : cudnn::kFloat64;
    const auto in = [](const Tensor& t, int axis) { return static_cast<int>(t.size(axis)); };
    const auto i = [](int64_t value) { return static_cast<int>(value); };
    const ConvolutionOptions& o = options;
    takes_ =
        takes(x, weight, windows, o) &&
        done(library.set_tensor(x_, cudnn::kNchw, type, in(x, 0), in(x, 1), in(x, 2), in(x, 3))) &&
        done(library.set_tensor(windows_, cudnn::kNchw, type, in(windows, 0), in(windows, 1), in(windows, 2),
                                in(windows, 3))) &&
        done(library.set_filter(weight_, type, cudnn::kNchw, in(weight, 0), in(weight, 1), in(weight, 2),
                                in(weight, 3))) &&
        done(library.set_convolution(convolution_, i(o.top), i(o.left), i(o.stride_h), i(o.stride_w),
                                     i(o.dilation_h), i(o.dilation_w), cudnn::kCrossCorrelation, type)) &&
        done(library.set_groups(convolution_, i(o.groups))) &&
        done(library.set_math(convolution_, cudnn::kFma));
  }

  // Each says whether it is computed. It is not where cuDNN has no kernel for the operands, or needs more
  // than kMostWorkspaceBytes. Throws Error instead of the latter where cuDNN was chosen.

  bool forward(const Tensor& x, const Tensor& weight, const Tensor& out) const {
    constexpr auto kBy = cudnn::kImplicitProduct;
    return run(
        [&](size_t* bytes) {
          return library_.forward_bytes(library_.context, x_, weight_, convolution_, windows_, kBy, bytes);
        },
        [&](const void* one, const void* zero, void* workspace, size_t bytes) {
          return library_.forward(library_.context, one, x_, x.address(), weight_, weight.address(),
                                  convolution_, kBy, workspace, bytes, zero, windows_, out.address());
        });
  }
  bool gradient_x(const Tensor& g, const Tensor& weight, const Tensor& out) const {
    constexpr auto kBy = cudnn::kDataByProduct;
    return run(
        [&](size_t* bytes) {
          return library_.data_bytes(library_.context, weight_, windows_, convolution_, x_, kBy, bytes);
        },
        [&](const void* one, const void* zero, void* workspace, size_t bytes) {
          return library_.data(library_.context, one, weight_, weight.address(), windows_, g.address(),
                               convolution_, kBy, workspace, bytes, zero, x_, out.address());
        });
  }
  bool gradient_weight(const Tensor& g, const Tensor& x, const Tensor& out) const {
    constexpr auto kBy = cudnn::kFilterByProduct;
    return run(
        [&](size_t* bytes) {
          return library_.filter_bytes(library_.context, x_, windows_, convolution_, weight_, kBy, bytes);
        },
        [&](const void* one, const void* zero, void* workspace, size_t bytes) {
          return library_.filter(library_.context, one, x_, x.address(), windows_, g.address(), convolution_,
                                 kBy, workspace, bytes, zero, weight_, out.address());
        });
  }

 private:
  /// cuDNN pads both sides alike, counts in int, and knows no empty tensor.
  static bool takes(const Tensor& x, const Tensor& weight, const Tensor& windows,
                    const ConvolutionOptions& o) {
    const auto some = [](const Tensor& t) {
      return t.elements() > 0 && t.elements() <= std::numeric_limits<int>::max();
    };
    return o.top == o.bottom && o.left == o.right && some(x) && some(weight) && some(windows);
  }

  /// Whether cuDNN has done it. Throws Error where it does not take it for another reason than having no
  /// kernel.
  bool done(cudnn::Status status) const {
    if (status >= cudnn::kNotSupported && status <= cudnn::kNotSupportedLast) return false;
    if (status != cudnn::kSuccess) fail("{}: cuDNN refuses it with status {}", name_, int{status});
    return true;
  }

  template <typename Bytes, typename Compute>
  bool run(const Bytes& bytes_of, const Compute& compute) const {
    size_t bytes = 0;
    if (!takes_ || !done(bytes_of(&bytes))) return false;
    if (bytes > kMostWorkspaceBytes) {
      if (convolution_by() != ConvolutionBy::cudnn) return false;
      fail("{}: cuDNN asks for a workspace of {} bytes, and {} are allowed; convolutions by hand need none",
           name_, bytes, kMostWorkspaceBytes);
    }
    const Tensor workspace({static_cast<int64_t>(bytes)}, Dtype::uint8, like_.device());
    bool computed = false;
    dispatch_real(like_.dtype(), [&](auto tag) {
      const decltype(tag) one = 1, zero = 0;
      computed = done(compute(&one, &zero, workspace.address(), bytes));
    });
    if (computed) launched_by_library(name_);
    return computed;
  }

  const cudnn::Library& library_;
  const char* const name_;
  const Tensor& like_;
  const CudnnDescriptor<cudnn::TensorDescriptor> x_, windows_;
  const CudnnDescriptor<cudnn::FilterDescriptor> weight_;
  const CudnnDescriptor<cudnn::ConvolutionDescriptor> convolution_;
  bool takes_;
};

/// result [batch, channels, plane] += bias [channels].
template <typename T>
__global__ void add_bias(const T* bias, int64_t channels, int64_t plane, T* result, int64_t count) {
  const int64_t number = thread_number();
  if (number < count) result[number] += bias[number / plane % channels];
}

inline void add_channel_bias(const Tensor& bias, const Tensor& out) {
  if (!bias.defined()) return;
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel("add_bias", add_bias<T>, threads_for(out.elements()), elements_of<const T>(bias),
                  out.size(1), out.size(2) * out.size(3), elements_of<T>(out), out.elements());
  });
}

// Whether cuDNN has computed the call.
inline bool convolve_by_cudnn(const call::Conv2d& call) {
  const cudnn::Library* const library = cudnn_library();
  if (!library || !CudnnConvolution(*library, call.name(), call.x, call.weight, call.out, call.options)
                       .forward(call.x, call.weight, call.out)) {
    return false;
  }
  add_channel_bias(call.bias, call.out);
  return true;
}
inline bool convolve_by_cudnn(const call::Conv2dGradientX& call) {
  const cudnn::Library* const library = cudnn_library();
  if (!library || !CudnnConvolution(*library, call.name(), call.out, call.weight, call.g, call.options)
                       .gradient_x(call.g, call.weight, call.out)) {
    return false;
  }
  add_channel_bias(call.bias, call.out);
  return true;
}
inline bool convolve_by_cudnn(const call::Conv2dGradientWeight& call) {
  const cudnn::Library* const library = cudnn_library();
  return library && CudnnConvolution(*library, call.name(), call.x, call.out, call.g, call.options)
                        .gradient_weight(call.g, call.x, call.out);
}

}  // namespace haze::HAZE_KERNELS
