#include "haze/engine/cuda/cudnn.h"

#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

#include "engine/gpu_results.h"
#include "error_of.h"

using namespace haze;
using namespace haze::test;

namespace {

/// While it lives, convolutions on a GPU are computed by cuDNN.
struct ByCudnn {
  ByCudnn() { set_convolution_by(ConvolutionBy::cudnn); }
  ~ByCudnn() { set_convolution_by({}); }
};

/// Descriptors of the convolution of 2 images [3, 5, 4] by kernels of 3 x 2, padded by 1 above and below, to
/// [4, 5, 3], and its operands.
class Example {
 public:
  Example() {
    CHECK(library.create_tensor(&x) == cudnn::kSuccess);
    CHECK(library.create_tensor(&y) == cudnn::kSuccess);
    CHECK(library.create_filter(&w) == cudnn::kSuccess);
    CHECK(library.create_convolution(&convolution) == cudnn::kSuccess);
    CHECK(library.set_tensor(x, cudnn::kNchw, cudnn::kFloat32, 2, 3, 5, 4) == cudnn::kSuccess);
    CHECK(library.set_tensor(y, cudnn::kNchw, cudnn::kFloat32, 2, 4, 5, 3) == cudnn::kSuccess);
    CHECK(library.set_filter(w, cudnn::kFloat32, cudnn::kNchw, 4, 3, 3, 2) == cudnn::kSuccess);
    CHECK(set_padding(1) == cudnn::kSuccess);
    CHECK(library.set_math(convolution, cudnn::kFma) == cudnn::kSuccess);
  }
  ~Example() {
    library.destroy_tensor(x);
    library.destroy_tensor(y);
    library.destroy_filter(w);
    library.destroy_convolution(convolution);
  }
  cudnn::Status set_padding(int padding) const {
    return library.set_convolution(convolution, padding, 0, 1, 1, 1, 1, cudnn::kCrossCorrelation,
                                   cudnn::kFloat32);
  }
  /// Of a forward pass, of which images have the value `pixel` and weights are 1.
  cudnn::Status forward(size_t spared_bytes = 0, float pixel = 1) {
    size_t bytes = 0;
    const cudnn::Status status =
        library.forward_bytes(library.context, x, w, convolution, y, cudnn::kImplicitProduct, &bytes);
    if (status != cudnn::kSuccess) return status;
    std::vector<unsigned char> workspace(bytes);
    const std::vector<float> images(2 * 3 * 5 * 4, pixel), weight(4 * 3 * 3 * 2, 1);
    result.assign(2 * 4 * 5 * 3, 7);
    const float one = 1, zero = 0;
    return library.forward(library.context, &one, x, images.data(), w, weight.data(), convolution,
                           cudnn::kImplicitProduct, workspace.data(), bytes - spared_bytes, &zero, y,
                           result.data());
  }

  const ByCudnn by_cudnn;
  const cudnn::Library& library = *fast::cudnn_library();
  cudnn::TensorDescriptor *x, *y;
  cudnn::FilterDescriptor* w;
  cudnn::ConvolutionDescriptor* convolution;
  std::vector<float> result;
};

}  // namespace

TEST_CASE("what stands in for cuDNN convolves, with windows on padding") {
  Example example;
  CHECK(example.forward() == cudnn::kSuccess);
  for (size_t i = 0; i < example.result.size(); ++i) {
    const size_t row = i / 3 % 5;
    CHECK(example.result[i] == (row == 0 || row == 4 ? 12 : 18));
  }
}

TEST_CASE("what stands in for cuDNN refuses shapes, types and groups that do not fit each other") {
  Example example;
  const cudnn::Library& library = example.library;
  CHECK(example.set_padding(0) == cudnn::kSuccess);
  CHECK(example.forward() == cudnn::kBadParameter);  // it would be 3 rows
  CHECK(example.set_padding(1) == cudnn::kSuccess);
  CHECK(library.set_groups(example.convolution, 3) == cudnn::kSuccess);
  CHECK(example.forward() == cudnn::kBadParameter);
  CHECK(library.set_groups(example.convolution, 1) == cudnn::kSuccess);
  CHECK(library.set_tensor(example.y, cudnn::kNchw, cudnn::kFloat64, 2, 4, 5, 3) == cudnn::kSuccess);
  CHECK(example.forward() == cudnn::kBadParameter);
  CHECK(library.set_tensor(example.y, cudnn::kNchw, cudnn::kFloat32, 2, 4, 5, 3) == cudnn::kSuccess);
  CHECK(example.forward() == cudnn::kSuccess);
}

TEST_CASE("cuDNN gets no workspace above 256 MiB: where it was chosen, that is an error") {
  // 129 * 129 windows of 128 * 128 pixels.
  const Tensor x = zeros({1, 1, 256, 256}, Dtype::float32, Device::simt),
               weight = zeros({1, 1, 128, 128}, Dtype::float32, Device::simt);
  const ByCudnn by_cudnn;
  CHECK(testing::error_of([&] { conv2d(x, weight, Tensor(), 1, 0); }) ==
        "conv2d: cuDNN asks for a workspace of 1090584576 bytes, and 268435456 are allowed; convolutions by "
        "hand need none");
}

TEST_CASE(
    "what stands in for cuDNN refuses a workspace that is too small, and algorithms it has no kernel for") {
  Example example;
  CHECK(example.forward(1) == cudnn::kSizeInsufficient);
  size_t bytes = 0;
  CHECK(example.library.data_bytes(nullptr, example.w, example.y, example.convolution, example.x,
                                   static_cast<cudnn::DataAlgorithm>(0), &bytes) == cudnn::kNotSupported);
  CHECK(example.library.filter_bytes(nullptr, example.x, example.y, example.convolution, example.w,
                                     static_cast<cudnn::FilterAlgorithm>(0), &bytes) == cudnn::kNotSupported);
}

TEST_CASE(
    "what stands in for cuDNN refuses numbers that no descriptor may have, and descriptors without any") {
  Example example;
  const cudnn::Library& library = example.library;
  CHECK(library.set_tensor(example.x, cudnn::kNchw, cudnn::kFloat32, 0, 3, 5, 4) == cudnn::kBadParameter);
  CHECK(library.set_tensor(nullptr, cudnn::kNchw, cudnn::kFloat32, 2, 3, 5, 4) == cudnn::kBadParameter);
  CHECK(library.set_filter(example.w, cudnn::kFloat32, static_cast<cudnn::Format>(1), 4, 3, 3, 2) ==
        cudnn::kBadParameter);
  CHECK(example.set_padding(-1) == cudnn::kBadParameter);
  CHECK(library.set_groups(example.convolution, 0) == cudnn::kBadParameter);
  CHECK(example.forward() == cudnn::kSuccess);
  cudnn::ConvolutionDescriptor* empty = nullptr;
  CHECK(library.create_convolution(&empty) == cudnn::kSuccess);
  size_t bytes = 0;
  CHECK(library.forward_bytes(nullptr, example.x, example.w, empty, example.y, cudnn::kImplicitProduct,
                              &bytes) == cudnn::kBadParameter);
  library.destroy_convolution(empty);
}

TEST_CASE("what stands in for cuDNN rounds float32 to tf32 where it is not told to leave that") {
  constexpr float kPixel = 1 + 0x1p-12f;
  Example example;
  CHECK(example.forward(0, kPixel) == cudnn::kSuccess);
  CHECK(example.result[3] == 18 * kPixel);
  CHECK(example.library.set_math(example.convolution, cudnn::kDefaultMath) == cudnn::kSuccess);
  CHECK(example.forward(0, kPixel) == cudnn::kSuccess);
  CHECK(example.result[3] == 18);
}

TEST_CASE("conv2d: --conv cudnn reaches the library, but for padding that is not alike on both sides") {
  Generator generator(1);
  const Tensor x = normal({2, 30, 6, 7}, generator), weight = normal({5, 30, 3, 3}, generator);
  const auto result = [&](const ConvolutionOptions& options) {
    return to(conv2d(on_gpu(x), on_gpu(weight), {}, options), Device::cpu);
  };
  const ConvolutionOptions alike = ConvolutionOptions::even(1, 1), uneven{.top = 1, .left = 1, .right = 1};
  const Tensor by_hand = result(alike), uneven_by_hand = result(uneven);
  const ByCudnn by_cudnn;
  const Tensor exact = cast(conv2d(wide(x), wide(weight), {}, alike), Dtype::float32);
  CHECK(same_bits(result(alike), exact));  // the stand-in adds up in float64
  CHECK_FALSE(same_bits(by_hand, exact));
  CHECK(same_bits(result(uneven), uneven_by_hand));
}
