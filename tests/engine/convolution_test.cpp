#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/memory.h"
#include "haze/engine/ops.h"
#include "haze/engine/profile.h"

#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

struct Layer {
  Shape image;
  int64_t out, kernel;
  ConvolutionOptions options;
};

// More than a task of each kernel: of patches in memory as they are, of packed ones, and grouped.
std::vector<Layer> layers() {
  return {{{2, 32, 32, 32}, 20, 3, ConvolutionOptions::even(1, 1)},
          {{5, 30, 14, 14}, 65, 3, ConvolutionOptions::even(1, 1)},
          {{2, 70, 17, 19}, 20, 3, ConvolutionOptions::even(2, 1)},
          {{4, 24, 20, 20}, 24, 3, {1, 1, 1, 1, 1, 1, 1, 1, 4}}};
}

double relative_difference(const Tensor& a, const Tensor& b) {
  return global_norm(std::vector<Tensor>{subtract(a, b)}) / global_norm(std::vector<Tensor>{b});
}

// The most bytes in use while f runs, over what was in use before and what f returns.
template <typename F>
size_t peak_bytes_beside_result(F&& f) {
  const size_t before = memory_statistics().in_use;
  reset_peak_memory();
  const Tensor result = f();
  return memory_statistics().peak - before - static_cast<size_t>(result.elements()) * size_of(result.dtype());
}

}  // namespace

TEST_CASE("convolution and its gradients are products with the patches that unfold writes out") {
  Generator generator(1);
  for (const Layer& layer : layers()) {
    const ConvolutionOptions& o = layer.options;
    if (o.groups > 1) continue;
    const int64_t channels = layer.image[1], k = layer.kernel, taps = channels * k * k;
    const Tensor x = normal(layer.image, generator, 0, 1, Dtype::float64);
    const Tensor weight = normal({layer.out, channels, k, k}, generator, 0, 1, Dtype::float64);
    const Tensor columns = unfold(x, k, k, o.stride_h, o.top), flat = reshape(weight, {layer.out, taps});
    const Tensor y = conv2d(x, weight, {}, o);
    CHECK(relative_difference(y, reshape(matmul(flat, columns), y.shape())) < 1e-14);

    const Tensor g = normal(y.shape(), generator, 0, 1, Dtype::float64);
    const Tensor rows = reshape(g, {g.size(0), g.size(1), g.size(2) * g.size(3)});
    const Tensor of_x = fold(matmul(transpose(flat), rows), x.size(2), x.size(3), k, k, o.stride_h, o.top);
    CHECK(relative_difference(conv2d_gradient_x(g, weight, x.size(2), x.size(3), o), of_x) < 1e-14);
    const Tensor of_weight = reshape(sum(matmul(rows, transpose(columns)), {0}), weight.shape());
    CHECK(relative_difference(conv2d_gradient_weight(g, x, k, k, o), of_weight) < 1e-14);
  }
}

TEST_CASE("convolution and its gradients give the same bits on any number of threads") {
  Generator generator(2);
  for (const Layer& layer : layers()) {
    const Tensor x = normal(layer.image, generator), bias = normal({layer.out}, generator);
    const Tensor weight =
        normal({layer.out, layer.image[1] / layer.options.groups, layer.kernel, layer.kernel}, generator);
    const Tensor g = normal(conv2d(x, weight, bias, layer.options).shape(), generator);
    CHECK(same_bits_on_threads([&] { return conv2d(x, weight, bias, layer.options); }));
    CHECK(same_bits_on_threads(
        [&] { return conv2d_gradient_x(g, weight, x.size(2), x.size(3), layer.options); }));
    CHECK(same_bits_on_threads(
        [&] { return conv2d_gradient_weight(g, x, layer.kernel, layer.kernel, layer.options); }));
  }
}

TEST_CASE("an image's result does not depend on the batch it is in") {
  Generator generator(3);
  const Tensor x = normal({7, 20, 9, 9}, generator), weight = normal({14, 20, 3, 3}, generator);
  const Tensor all = conv2d(x, weight, {}, 1, 1);
  for (int64_t i = 0; i < 7; ++i) {
    CHECK(same_bits(slice(all, 0, i, i + 1), conv2d(slice(x, 0, i, i + 1), weight, {}, 1, 1)));
  }
}

TEST_CASE("convolution takes views") {
  Generator generator(4);
  const Tensor x = transpose(normal({2, 6, 5, 4}, generator), 1, 3);       // [2, 4, 5, 6]
  const Tensor weight = transpose(normal({3, 3, 2, 4}, generator), 1, 3);  // [3, 4, 2, 3]
  const Tensor y = conv2d(x, weight, {});
  CHECK(same_bits(y, conv2d(clone(x), clone(weight), {})));
  const Tensor g = transpose(normal({2, 3, 4, 4}, generator), 2, 3);
  CHECK(same_bits(conv2d_gradient_x(g, weight, 5, 6), conv2d_gradient_x(clone(g), clone(weight), 5, 6)));
  CHECK(same_bits(conv2d_gradient_weight(g, x, 2, 3), conv2d_gradient_weight(clone(g), clone(x), 2, 3)));
}

TEST_CASE("a transposed convolution is the adjoint of the convolution, whatever conv2d left over") {
  Generator generator(5);
  const ConvolutionOptions options{
      .stride_h = 3, .stride_w = 2, .top = 1, .left = 1, .right = 2, .groups = 2};
  for (const int64_t height : {9, 10, 11}) {
    const Tensor x = normal({2, 4, height, 7}, generator, 0, 1, Dtype::float64);
    const Tensor weight = normal({6, 2, 3, 2}, generator, 0, 1, Dtype::float64);
    const Tensor y = normal(conv2d(x, weight, {}, options).shape(), generator, 0, 1, Dtype::float64);
    const Tensor back = conv_transpose2d(y, weight, {}, options, (height + 1 - 3) % 3, (7 + 3 - 2) % 2);
    REQUIRE(back.shape() == x.shape());
    CHECK(sum(multiply(conv2d(x, weight, {}, options), y)).item() ==
          doctest::Approx(sum(multiply(x, back)).item()).epsilon(1e-12));
  }
}

TEST_CASE("a convolution without terms is its bias, and its gradients are 0") {
  const ConvolutionOptions padded = ConvolutionOptions::even(1, 1);
  CHECK(
      conv2d(zeros({1, 0, 2, 2}), zeros({2, 0, 2, 2}), Tensor::from({1.0f, 2.0f}, {2})).to_vector<float>() ==
      std::vector<float>{1, 2});
  CHECK(conv2d(ones({1, 2, 0, 0}), ones({1, 2, 2, 2}), ones({1}), padded).to_vector<float>() ==
        std::vector<float>{1});
  CHECK(conv2d_gradient_x(zeros({2, 0, 2, 2}), zeros({0, 3, 2, 2}), 3, 3).to_vector<float>() ==
        std::vector<float>(2 * 3 * 9));
  CHECK(conv2d_gradient_weight(zeros({0, 2, 2, 2}), zeros({0, 3, 3, 3}), 2, 2).to_vector<float>() ==
        std::vector<float>(2 * 3 * 4));
  CHECK(conv2d(zeros({0, 3, 4, 4}), zeros({5, 3, 3, 3}), {}).shape() == Shape{0, 5, 2, 2});
  // Windows 3 apart of kernels of 1 x 1 never see the pixels between.
  CHECK(sum(conv2d_gradient_x(ones({1, 1, 2, 2}), ones({1, 1, 1, 1}), 5, 5, ConvolutionOptions::even(3, 0)))
            .item() == 4);
}

TEST_CASE("a convolution passes on what is not finite, to the windows that see it and no others") {
  Tensor x = zeros({1, 1, 5, 40});
  x.data<float>()[2 * 40 + 20] = NAN;
  const std::vector<float> y = conv2d(x, ones({1, 1, 3, 3}), {}, 1, 1).to_vector<float>();
  for (int64_t i = 0; i < 5 * 40; ++i) {
    const bool sees = std::abs(i / 40 - 2) <= 1 && std::abs(i % 40 - 20) <= 1;
    CHECK(std::isnan(y[static_cast<size_t>(i)]) == sees);
  }
}

TEST_CASE("convolution and its gradients hold no patches: 1.2 GB of them at batch 128, 512 x 512 x 3 x 3") {
  // The gradient's memory does not grow with the batch, of which 16 images already fill every block.
  const ConvolutionOptions options = ConvolutionOptions::even(1, 1);
  const Tensor x = zeros({16, 512, 8, 8}), weight = zeros({512, 512, 3, 3}), g = zeros({16, 512, 8, 8});
  const size_t weights = 512 * 512 * 9 * sizeof(float), threads_memory = static_cast<size_t>(threads()) << 22;
  CHECK(peak_bytes_beside_result([&] { return conv2d_gradient_weight(g, x, 3, 3, options); }) <
        weights * 5 / 4 + threads_memory);
  CHECK(peak_bytes_beside_result([&] { return conv2d(x, weight, {}, options); }) <
        weights * 5 / 4 + threads_memory);
  CHECK(peak_bytes_beside_result([&] { return conv2d_gradient_x(g, weight, 8, 8, options); }) <
        weights * 5 / 4 + threads_memory);
}

TEST_CASE(
    "a convolution's call counts a multiply-add for each window and each element of the weight it meets") {
  Profile profile;
  {
    const ProfileScope scope(profile);
    conv2d(zeros({2, 6, 5, 4}), zeros({9, 2, 3, 3}), zeros({9}), {.groups = 3});
  }
  REQUIRE(!profile.calls.empty());
  const ProfileCall& call = profile.calls.back();
  CHECK(call.operation == "conv2d");
  CHECK(call.flops == 2.0 * 2 * 9 * 3 * 2 * 2 * 3 * 3);
  CHECK(call.bytes == 4.0 * (2 * 6 * 5 * 4 + 9 * 2 * 3 * 3 + 9 + 2 * 9 * 3 * 2));
}

TEST_CASE("convolution says what is wrong") {
  const Tensor x = zeros({1, 4, 6, 6}), weight = zeros({6, 2, 3, 3}), g = zeros({1, 6, 4, 4});
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}),
                       "conv2d: x of shape [1, 4, 6, 6] has 4 channels, weight of shape [6, 2, 3, 3] takes 2",
                       Error);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({5, 2, 3, 3}), {}, {.groups = 2}),
                       "conv2d: 5 channels do not fall into 2 groups", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.groups = 0}),
                       "conv2d: the number of groups is 0, it takes 1 or more", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.stride_w = 0, .groups = 2}),
                       "conv2d: the stride is 0, it takes 1 or more", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.dilation_h = -1, .groups = 2}),
                       "conv2d: the dilation is -1, it takes 1 or more", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.left = -2, .groups = 2}),
                       "conv2d: the padding is -2, it takes 0 or more", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.stride_h = int64_t{1} << 40, .groups = 2}),
                       "conv2d: 1099511627776 as kernel, stride, dilation or padding is too much", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, {}, {.top = 1, .dilation_h = 4, .groups = 2}),
                       "conv2d: a kernel of 3 x 3 with dilation 4 x 1 does not fit an image of 6 x 6 with "
                       "padding 1 + 0 by 0 + 0",
                       Error);
  CHECK_THROWS_WITH_AS(conv2d_gradient_x(g, weight, 7, 6, {.groups = 2}),
                       "conv2d_gradient_x: g has shape [1, 6, 4, 4], it takes [1, 6, 5, 4]", Error);
  CHECK_THROWS_WITH_AS(conv2d_gradient_x(g, weight, -1, 6),
                       "conv2d_gradient_x: an image of -1 x 6 has a negative extent", Error);
  CHECK_THROWS_WITH_AS(conv2d_gradient_weight(g, x, 3, 4, {.groups = 2}),
                       "conv2d_gradient_weight: g has shape [1, 6, 4, 4], it takes [1, 6, 4, 3]", Error);
  CHECK_THROWS_WITH_AS(conv2d_gradient_weight(g, x, 3, 3, {.groups = 3}),
                       "conv2d_gradient_weight: 4 channels do not fall into 3 groups", Error);
  CHECK_THROWS_WITH_AS(conv_transpose2d(g, weight, {}, {.stride_h = 2}, 2),
                       "conv_transpose2d: the output padding is 2, it takes 0 to 1", Error);
  CHECK_THROWS_WITH_AS(
      conv_transpose2d(x, weight, {}),
      "conv_transpose2d: x of shape [1, 4, 6, 6] has 4 channels, weight of shape [6, 2, 3, 3] takes 6",
      Error);
  CHECK_THROWS_WITH_AS(
      conv_transpose2d(zeros({1, 6, 1, 4}), weight, {}, {.top = 4}),
      "conv_transpose2d: images of 1 x 4 give none with a kernel of 3 x 3 and padding 4 + 0 by 0 + 0", Error);
}
