#include <doctest/doctest.h>

#include "haze/engine/ops.h"

#include "engine/gpu_results.h"
#include "engine/simt/mutations.h"

// Sizes of convolution on the emulated GPU that the operation table leaves out.
using namespace haze;
using namespace haze::test;

namespace {

/// A convolution of kernels of 3 x 3 with a padding of 1, and its gradients.
struct Layer {
  Tensor x, weight, bias, g;
  ConvolutionOptions options = ConvolutionOptions::even(1, 1);

  Layer(const Shape& image, int64_t outs, uint64_t seed = 1) {
    Generator generator(seed);
    x = normal(image, generator);
    weight = normal({outs, image[1], 3, 3}, generator);
    bias = normal({outs}, generator);
    g = normal({image[0], outs, image[2], image[3]}, generator);
  }
  Tensor result() const { return conv2d(on_gpu(x), on_gpu(weight), on_gpu(bias), options); }
  Tensor gradient_x() const {
    return conv2d_gradient_x(on_gpu(g), on_gpu(weight), x.size(2), x.size(3), options);
  }
  Tensor gradient_weight() const { return conv2d_gradient_weight(on_gpu(g), on_gpu(x), 3, 3, options); }

  void check_result(uint64_t seeds = 1) const {
    const Tensor wanted = conv2d(wide(x), wide(weight), wide(bias), options);
    CHECK(largest_difference(fast_and_checked([&] { return result(); }, seeds), wanted) < 5e-5);
  }
  void check_gradient_x(uint64_t seeds = 1) const {
    const Tensor wanted = conv2d_gradient_x(wide(g), wide(weight), x.size(2), x.size(3), options);
    CHECK(largest_difference(fast_and_checked([&] { return gradient_x(); }, seeds), wanted) < 5e-5);
  }
  void check_gradient_weight(uint64_t seeds = 1) const {
    const Tensor wanted = conv2d_gradient_weight(wide(g), wide(x), 3, 3, options);
    CHECK(largest_difference(fast_and_checked([&] { return gradient_weight(); }, seeds), wanted) < 5e-5);
  }
};

}  // namespace

TEST_CASE("convolution: on an emulated GPU, large and wide tiles give the result and both gradients") {
  for (const int64_t rows : {128, 64}) {
    CAPTURE(rows);
    Layer({1, 1, 8, 16}, rows).check_result();
    Layer({1, rows, 8, 16}, 1).check_gradient_x();
    Layer({1, 14, 2, 3}, rows).check_gradient_weight();
  }
}

TEST_CASE(
    "convolution: on an emulated GPU, a long K is split, and the sum is the same in any order of blocks") {
  Layer({1, 60, 2, 3}, 5).check_result(5);
  Layer({1, 5, 2, 3}, 60).check_gradient_x(5);
  Layer({2, 2, 16, 17}, 3).check_gradient_weight(5);
}

TEST_CASE(
    "convolution: on an emulated GPU, tiles are read without bank conflicts, and results written whole") {
  const Layer layer({1, 32, 2, 32}, 32);
  const auto check = [](const auto& operation) {
    const CheckedRungs counting(true);
    operation();
    const simt::LaunchCounts counts = simt::last_counts();
    CHECK(sectors_a_request(counts.total(false, true)) == 4);
    CHECK(counts.total(true, false).conflicts == 0);
  };
  check([&] { layer.result(); });
  check([&] { layer.gradient_x(); });
  check([&] { layer.gradient_weight(); });
}

TEST_CASE("convolution: on an emulated GPU, each barrier and wait of the weight's gradient is needed") {
  const Layer layer({1, 2, 5, 8}, 3);
  const CheckedRungs checked;
  CHECK(check_mutations([&] { layer.gradient_weight(); }) == 5);
}

TEST_CASE("convolution: on an emulated GPU, strides and padding may be beyond the products' integers") {
  const Tensor x = on_gpu(full({1, 2, 1, 1}, 3)), weight = on_gpu(full({2, 2, 1, 1}, 5)),
               g = on_gpu(Tensor::from<float>({7, 11, 13, 17}, {1, 2, 2, 1}));
  for (const int64_t far : {int64_t{1} << 27, int64_t{1} << 28}) {
    const ConvolutionOptions options{.stride_h = far, .top = far};  // the second window has the pixel
    CHECK(conv2d(x, weight, {}, options).to_vector<float>() == std::vector<float>{0, 30, 0, 30});
    CHECK(conv2d_gradient_x(g, weight, 1, 1, options).to_vector<float>() == std::vector<float>{140, 140});
    CHECK(conv2d_gradient_weight(g, x, 1, 1, options).to_vector<float>() ==
          std::vector<float>{33, 33, 51, 51});
  }
}
