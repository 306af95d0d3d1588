#pragma once

#include <cstddef>
#include <cstdint>

#include "haze/engine/library_choice.h"

/// Convolutions by NVIDIA's library, beside the hand-written kernels.
namespace haze {

/// The functions of cuDNN that are used, and its numbers. The library is loaded when it is first asked for,
/// so that programs need neither it nor its headers. Where the headers are, cudnn.cpp compares both with
/// them.
namespace cudnn {

inline constexpr int kMajorVersion = 9;

struct Context;
struct TensorDescriptor;
struct FilterDescriptor;
struct ConvolutionDescriptor;

/// Those from kNotSupported to kNotSupportedLast say that there is no kernel for the operands.
enum Status : int {
  kSuccess = 0,
  kBadParameter = 2000,
  kSizeInsufficient = 2006,
  kNotSupported = 3000,
  kNotSupportedLast = 3999
};
enum ElementType : int { kFloat32 = 0, kFloat64 = 1 };
enum Format : int { kNchw = 0 };  // contiguous [batch, channels, height, width]
enum Mode : int { kCrossCorrelation = 1 };
/// kDefaultMath lets tensor cores round float32 to tf32, and kFma does not.
enum MathType : int { kDefaultMath = 0, kFma = 3 };
/// One of each: an implicit product, which gives the same bits at every run. Others are faster and add up in
/// an order of their own at every run, or transform their operands and round more.
enum ForwardAlgorithm : int { kImplicitProduct = 1 };
enum DataAlgorithm : int { kDataByProduct = 1 };
enum FilterAlgorithm : int { kFilterByProduct = 1 };

/// A member has the form of the function that its comment names. Strides, padding and dilation come down
/// before across.
struct Library {
  Context* context;
  // cudnnCreateTensorDescriptor, cudnnSetTensor4dDescriptor, cudnnDestroyTensorDescriptor
  Status (*create_tensor)(TensorDescriptor**);
  Status (*set_tensor)(TensorDescriptor*, Format, ElementType, int batch, int channels, int height,
                       int width);
  Status (*destroy_tensor)(TensorDescriptor*);
  // cudnnCreateFilterDescriptor, cudnnSetFilter4dDescriptor, cudnnDestroyFilterDescriptor
  Status (*create_filter)(FilterDescriptor**);
  Status (*set_filter)(FilterDescriptor*, ElementType, Format, int outs, int channels, int height, int width);
  Status (*destroy_filter)(FilterDescriptor*);
  // cudnnCreateConvolutionDescriptor, cudnnSetConvolution2dDescriptor, cudnnSetConvolutionGroupCount,
  // cudnnSetConvolutionMathType, cudnnDestroyConvolutionDescriptor
  Status (*create_convolution)(ConvolutionDescriptor**);
  Status (*set_convolution)(ConvolutionDescriptor*, int pad_h, int pad_w, int stride_h, int stride_w,
                            int dilation_h, int dilation_w, Mode, ElementType compute);
  Status (*set_groups)(ConvolutionDescriptor*, int);
  Status (*set_math)(ConvolutionDescriptor*, MathType);
  Status (*destroy_convolution)(ConvolutionDescriptor*);
  // cudnnGetConvolutionForwardWorkspaceSize, cudnnConvolutionForward: y = alpha (x * w) + beta y
  Status (*forward_bytes)(Context*, TensorDescriptor* x, FilterDescriptor* w, ConvolutionDescriptor*,
                          TensorDescriptor* y, ForwardAlgorithm, size_t* bytes);
  Status (*forward)(Context*, const void* alpha, TensorDescriptor*, const void* x, FilterDescriptor*,
                    const void* w, ConvolutionDescriptor*, ForwardAlgorithm, void* workspace, size_t bytes,
                    const void* beta, TensorDescriptor*, void* y);
  // cudnnGetConvolutionBackwardDataWorkspaceSize, cudnnConvolutionBackwardData: the gradient of x
  Status (*data_bytes)(Context*, FilterDescriptor* w, TensorDescriptor* g, ConvolutionDescriptor*,
                       TensorDescriptor* to_x, DataAlgorithm, size_t* bytes);
  Status (*data)(Context*, const void* alpha, FilterDescriptor*, const void* w, TensorDescriptor*,
                 const void* g, ConvolutionDescriptor*, DataAlgorithm, void* workspace, size_t bytes,
                 const void* beta, TensorDescriptor*, void* to_x);
  // cudnnGetConvolutionBackwardFilterWorkspaceSize, cudnnConvolutionBackwardFilter: the gradient of w
  Status (*filter_bytes)(Context*, TensorDescriptor* x, TensorDescriptor* g, ConvolutionDescriptor*,
                         FilterDescriptor* to_w, FilterAlgorithm, size_t* bytes);
  Status (*filter)(Context*, const void* alpha, TensorDescriptor*, const void* x, TensorDescriptor*,
                   const void* g, ConvolutionDescriptor*, FilterAlgorithm, void* workspace, size_t bytes,
                   const void* beta, FilterDescriptor*, void* to_w);
};

}  // namespace cudnn

// Null where convolutions are computed by hand.
namespace gpu {
const cudnn::Library* cudnn_library();  // cuda/cudnn.cpp
}
namespace fast {
const cudnn::Library* cudnn_library();  // simt/cudnn.cpp: a stand-in
}
namespace checked {
const cudnn::Library* cudnn_library();
}

}  // namespace haze
