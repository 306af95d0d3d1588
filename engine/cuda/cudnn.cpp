#include "haze/engine/cuda/cudnn.h"

#include <type_traits>

#include <fmt/format.h>

#include "haze/engine/cuda/loaded_library.h"
#include "haze/engine/cuda/runtime.h"
#include "haze/engine/error.h"

#if __has_include(<cudnn_version.h>)
#include <cudnn_version.h>
#endif
#if defined(CUDNN_MAJOR) && CUDNN_MAJOR == 9  // another version's header says nothing of the library used
#include <cudnn.h>

namespace haze::cudnn {
namespace {

using cuda::is;
static_assert(CUDNN_MAJOR == kMajorVersion);
static_assert(is(kSuccess, CUDNN_STATUS_SUCCESS) && is(kBadParameter, CUDNN_STATUS_BAD_PARAM) &&
              is(kSizeInsufficient, CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT) &&
              is(kNotSupported, CUDNN_STATUS_NOT_SUPPORTED));
static_assert(is(kFloat32, CUDNN_DATA_FLOAT) && is(kFloat64, CUDNN_DATA_DOUBLE));
static_assert(is(kNchw, CUDNN_TENSOR_NCHW) && is(kCrossCorrelation, CUDNN_CROSS_CORRELATION));
static_assert(is(kDefaultMath, CUDNN_DEFAULT_MATH) && is(kFma, CUDNN_FMA_MATH));
static_assert(is(kImplicitProduct, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) &&
              is(kDataByProduct, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1) &&
              is(kFilterByProduct, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1));

/// Whether two functions have the same form: pointers, enumerations and numbers of the same sizes.
template <typename Ours, typename Theirs>
constexpr bool kAlike =
    sizeof(Ours) == sizeof(Theirs) &&
    std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>&& std::is_enum_v<Ours> == std::is_enum_v<Theirs>;
template <typename R, typename... P, typename S, typename... Q>
constexpr bool same_form(R (*)(P...), S (*)(Q...)) {
  if constexpr (sizeof...(P) == sizeof...(Q)) return kAlike<R, S> && (kAlike<P, Q> && ...);
  return false;
}
constexpr Library kForms{};
static_assert(same_form(kForms.create_tensor, decltype (&cudnnCreateTensorDescriptor)()));
static_assert(same_form(kForms.set_tensor, decltype (&cudnnSetTensor4dDescriptor)()));
static_assert(same_form(kForms.destroy_tensor, decltype (&cudnnDestroyTensorDescriptor)()));
static_assert(same_form(kForms.create_filter, decltype (&cudnnCreateFilterDescriptor)()));
static_assert(same_form(kForms.set_filter, decltype (&cudnnSetFilter4dDescriptor)()));
static_assert(same_form(kForms.destroy_filter, decltype (&cudnnDestroyFilterDescriptor)()));
static_assert(same_form(kForms.create_convolution, decltype (&cudnnCreateConvolutionDescriptor)()));
static_assert(same_form(kForms.set_convolution, decltype (&cudnnSetConvolution2dDescriptor)()));
static_assert(same_form(kForms.set_groups, decltype (&cudnnSetConvolutionGroupCount)()));
static_assert(same_form(kForms.set_math, decltype (&cudnnSetConvolutionMathType)()));
static_assert(same_form(kForms.destroy_convolution, decltype (&cudnnDestroyConvolutionDescriptor)()));
static_assert(same_form(kForms.forward_bytes, decltype (&cudnnGetConvolutionForwardWorkspaceSize)()));
static_assert(same_form(kForms.forward, decltype (&cudnnConvolutionForward)()));
static_assert(same_form(kForms.data_bytes, decltype (&cudnnGetConvolutionBackwardDataWorkspaceSize)()));
static_assert(same_form(kForms.data, decltype (&cudnnConvolutionBackwardData)()));
static_assert(same_form(kForms.filter_bytes, decltype (&cudnnGetConvolutionBackwardFilterWorkspaceSize)()));
static_assert(same_form(kForms.filter, decltype (&cudnnConvolutionBackwardFilter)()));

}  // namespace
}  // namespace haze::cudnn
#endif

namespace haze {
namespace cudnn {
namespace {

using Create = Status (*)(Context**);
using SetStream = Status (*)(Context*, cudaStream_t);

using cuda::find;

bool find_functions(void* from, Library& to) {
  return find(from, "cudnnCreateTensorDescriptor", to.create_tensor) &&
         find(from, "cudnnSetTensor4dDescriptor", to.set_tensor) &&
         find(from, "cudnnDestroyTensorDescriptor", to.destroy_tensor) &&
         find(from, "cudnnCreateFilterDescriptor", to.create_filter) &&
         find(from, "cudnnSetFilter4dDescriptor", to.set_filter) &&
         find(from, "cudnnDestroyFilterDescriptor", to.destroy_filter) &&
         find(from, "cudnnCreateConvolutionDescriptor", to.create_convolution) &&
         find(from, "cudnnSetConvolution2dDescriptor", to.set_convolution) &&
         find(from, "cudnnSetConvolutionGroupCount", to.set_groups) &&
         find(from, "cudnnSetConvolutionMathType", to.set_math) &&
         find(from, "cudnnDestroyConvolutionDescriptor", to.destroy_convolution) &&
         find(from, "cudnnGetConvolutionForwardWorkspaceSize", to.forward_bytes) &&
         find(from, "cudnnConvolutionForward", to.forward) &&
         find(from, "cudnnGetConvolutionBackwardDataWorkspaceSize", to.data_bytes) &&
         find(from, "cudnnConvolutionBackwardData", to.data) &&
         find(from, "cudnnGetConvolutionBackwardFilterWorkspaceSize", to.filter_bytes) &&
         find(from, "cudnnConvolutionBackwardFilter", to.filter);
}

std::string file_name() {
  return fmt::format("libcudnn.so.{}", kMajorVersion);
}

/// The library, with a context for the stream of all kernels. Without a context where it is not found.
Library load() {
  void* const file = dlopen(file_name().c_str(), RTLD_NOW | RTLD_LOCAL);
  Library library{};
  Create create = nullptr;
  SetStream set_stream = nullptr;
  if (!file || !find_functions(file, library) || !find(file, "cudnnCreate", create) ||
      !find(file, "cudnnSetStream", set_stream)) {
    return {};
  }
  if (create(&library.context) != kSuccess || set_stream(library.context, cuda::stream()) != kSuccess)
    fail("device cuda: {} was found and could not be started", file_name());
  return library;
}

}  // namespace
}  // namespace cudnn

const cudnn::Library* gpu::cudnn_library() {
  if (convolution_by() == ConvolutionBy::hand) return nullptr;
  static const cudnn::Library library = cudnn::load();
  if (library.context) return &library;
  if (convolution_by() == ConvolutionBy::cudnn)
    fail("device cuda: {} was not found; convolutions by hand need none", cudnn::file_name());
  return nullptr;
}

}  // namespace haze
