#include "haze/nn/image_blocks.h"

#include <doctest/doctest.h>

#include "nn/image_networks.h"

namespace haze {
namespace {

using namespace nn_test;
using testing::error_of;

void make_generic(Module& module) {
  module.to(Dtype::float64);
  randomise(module);
}

// Attention of one image [channels, pixels] in loops.
Matrix attention_in_loops(const Matrix& qkv, size_t heads) {
  const size_t pixels = qkv.rows, channels = qkv.columns / 3, head_size = channels / heads;
  Matrix result(pixels, channels);
  for (size_t head = 0; head < heads; ++head) {
    const auto at = [&](size_t part, size_t pixel, size_t c) {
      return qkv(pixel, part * channels + head * head_size + c);
    };
    for (size_t q = 0; q < pixels; ++q) {
      std::vector<double> weights(pixels);
      double total = 0;
      for (size_t k = 0; k < pixels; ++k) {
        double score = 0;
        for (size_t c = 0; c < head_size; ++c) score += at(0, q, c) * at(1, k, c);
        total += weights[k] = std::exp(score / std::sqrt(static_cast<double>(head_size)));
      }
      for (size_t k = 0; k < pixels; ++k) {
        for (size_t c = 0; c < head_size; ++c)
          result(q, head * head_size + c) += weights[k] / total * at(2, k, c);
      }
    }
  }
  return result;
}

Tensor transposed(const Tensor& x) {
  return contiguous(transpose(x));
}

}  // namespace

TEST_CASE("Conv2d: sums of products over each window, written out, at every size and stride") {
  Generator generator(1);
  for (const int64_t size : {1, 3, 4}) {
    for (const int64_t stride : {1, 2}) {
      Conv2d layer(2, 3, size, generator, {.stride = stride});
      make_generic(layer);
      const Tensor x = random_images({2, 2, 6, 5}, Dtype::float64);
      const Tensor y = layer.forward(x).value();
      const int64_t padding = (size - 1) / 2;
      REQUIRE(y.shape() ==
              Shape{2, 3, (6 + 2 * padding - size) / stride + 1, (5 + 2 * padding - size) / stride + 1});
      const std::vector<double> in = values(x), out = values(y);
      const std::vector<double> w = values(parameter_of(layer, "weight"));
      const std::vector<double> b = values(parameter_of(layer, "bias"));
      size_t place = 0;
      double largest = 0;
      for (int64_t n = 0; n < 2; ++n) {
        for (int64_t o = 0; o < 3; ++o) {
          for (int64_t i = 0; i < y.size(2); ++i) {
            for (int64_t j = 0; j < y.size(3); ++j) {
              double sum = b[static_cast<size_t>(o)];
              for (int64_t c = 0; c < 2; ++c) {
                for (int64_t di = 0; di < size; ++di) {
                  for (int64_t dj = 0; dj < size; ++dj) {
                    const int64_t r = i * stride + di - padding, s = j * stride + dj - padding;
                    if (r < 0 || r >= 6 || s < 0 || s >= 5) continue;
                    sum += w[static_cast<size_t>(((o * 2 + c) * size + di) * size + dj)] *
                           in[static_cast<size_t>(((n * 2 + c) * 6 + r) * 5 + s)];
                  }
                }
              }
              largest = std::max(largest, std::abs(sum - out[place++]));
            }
          }
        }
      }
      CHECK(largest < 1e-12);
    }
  }
}

TEST_CASE("Conv2d: weights start uniform in +-gain/sqrt(in size^2), biases at zero") {
  Generator generator(2);
  Conv2d layer(20, 40, 3, generator);
  const double bound = 1 / std::sqrt(180.0);
  double square = 0, largest = 0;
  for (const double w : values(parameter_of(layer, "weight"))) {
    square += w * w / 7200;
    largest = std::max(largest, std::abs(w));
  }
  // The variance is bound^2/3 within five standard errors: a confidence of 1 - 6e-7.
  CHECK(largest <= bound * (1 + 1e-6));
  CHECK(std::abs(square - bound * bound / 3) < 5 * bound * bound * std::sqrt(4.0 / 45 / 7200));
  for (const double b : values(parameter_of(layer, "bias"))) CHECK(b == 0);
  Conv2d nothing(2, 3, 3, generator, {.gain = 0});
  for (const double w : values(parameter_of(nothing, "weight"))) CHECK(w == 0);
}

TEST_CASE("gradients of every block of images agree with central differences") {
  Generator generator(3);
  const Tensor x = random_images({2, 4, 2, 4}, Dtype::float64);
  const Tensor e = random_images({2, 3}, Dtype::float64, 6);
  const auto check = [&](const char* what, Module& module, auto forward) {
    make_generic(module);
    check_gradients(what, module, {x, e}, forward);
  };
  Conv2d conv(4, 2, 3, generator, {.stride = 2});
  check("Conv2d", conv, [&](const Inputs& in) { return conv.forward(in[0]); });
  ResidualBlock wider({.in = 4, .out = 6, .time_width = 3, .groups = 2}, generator);
  check("wider", wider, [&](const Inputs& in) { return wider.forward(in[0], in[1], {}); });
  ResidualBlock same({.in = 4, .out = 4, .time_width = 3, .groups = 2}, generator);
  check("same", same, [&](const Inputs& in) { return same.forward(in[0], in[1], {}); });
  ImageAttention attention(4, 2, 2, generator);
  check("attention", attention, [&](const Inputs& in) { return attention.forward(in[0]); });
  Upsample up(4, generator);
  check("upsample", up, [&](const Inputs& in) { return up.forward(in[0]); });
  ConvBlock timed({.in = 4, .out = 2, .stride = 2, .groups = 2, .time_width = 3}, generator);
  check("timed", timed, [&](const Inputs& in) { return timed.forward(in[0], in[1]); });
  ConvBlock plain({.in = 4, .out = 2, .groups = 2}, generator);
  check("plain", plain, [&](const Inputs& in) { return plain.forward(in[0]); });
}

TEST_CASE("a residual block is its formula: Ho et al. 2020, appendix B") {
  Generator generator(4);
  for (const int64_t out : {4, 6}) {
    ResidualBlock block({.in = 4, .out = out, .time_width = 3, .groups = 2}, generator);
    make_generic(block);
    const Variable x = random_images({2, 4, 3, 3}, Dtype::float64);
    const Variable e = random_images({2, 3}, Dtype::float64, 6);
    const auto normed = [&](const std::string& name, const Variable& h) {
      return silu(
          group_norm(h, parameter_of(block, name + ".weight"), parameter_of(block, name + ".bias"), 2, 1e-5));
    };
    Variable h = conv_of(block, "conv1", normed("norm1", x));
    h = conv_of(block, "conv2", normed("norm2", h + reshape(linear_of(block, "time", e), {2, out, 1, 1})));
    const Variable shortcut = out == 4 ? x
                                       : conv2d(x, parameter_of(block, "shortcut.weight"),
                                                parameter_of(block, "shortcut.bias"), 1, 0);
    CHECK(largest_difference(values(block.forward(x, e, {})), values(h + shortcut)) < 1e-12);
  }
}

TEST_CASE("attention over pixels is softmax(q k^T / sqrt(head size)) v of each image, in float64 loops") {
  Generator generator(5);
  ImageAttention attention(4, 2, 2, generator);
  make_generic(attention);
  const Tensor x = random_images({2, 4, 2, 3}, Dtype::float64);
  const Parameters p(attention);
  const Variable normed =
      group_norm(x, parameter_of(attention, "norm.weight"), parameter_of(attention, "norm.bias"), 2, 1e-5);
  const Tensor y = attention.forward(x).value();
  for (int64_t i = 0; i < 2; ++i) {
    const Tensor pixels = transposed(reshape(row(normed.value(), i), {4, 6}));  // [pixels, channels]
    const Matrix mixed = attention_in_loops(p.linear("qkv", Matrix(pixels)), 2);
    const Matrix expected = p.linear("output", mixed) + Matrix(transposed(reshape(row(x, i), {4, 6})));
    CHECK(largest_difference(values(transposed(reshape(row(y, i), {4, 6}))), expected.elements) < 1e-12);
  }
}

TEST_CASE("attention over pixels knows no order: pixels in another order give the same, in that order") {
  Generator generator(6);
  ImageAttention attention(8, 2, 4, generator);
  make_generic(attention);
  const Tensor x = random_images({1, 8, 2, 4}, Dtype::float64);
  const Tensor order = Tensor::from<int32_t>({3, 1, 7, 0, 2, 6, 5, 4}, {8});
  const auto shuffled = [&](const Tensor& image) {
    return reshape(index_select(reshape(image, {1, 8, 8}), 2, order), {1, 8, 2, 4});
  };
  CHECK(largest_difference(values(attention.forward(shuffled(x))),
                           values(shuffled(attention.forward(x).value()))) < 1e-12);
}

TEST_CASE("blocks that end in zeros start as their shortcut") {
  Generator generator(7);
  const Tensor x = random_images({2, 8, 4, 4}), e = random_images({2, 3});
  const ResidualBlock block({.in = 8, .out = 8, .time_width = 3}, generator);
  CHECK(values(block.forward(x, e, {})) == values(x));
  CHECK(values(ImageAttention(8, 2, 8, generator).forward(x)) == values(x));
}

TEST_CASE("dropout of a residual block is on in training alone, and needs a generator there") {
  Generator generator(8);
  ResidualBlock block({.in = 8, .out = 8, .time_width = 3, .dropout = 0.5}, generator);
  randomise(block);
  const Tensor x = random_images({2, 8, 4, 4}), e = random_images({2, 3});
  const std::vector<double> without = values(block.forward(x, e, {}));
  const ForwardContext training{.training = true, .generator = &generator};
  CHECK(values(block.forward(x, e, {})) == without);
  CHECK(values(block.forward(x, e, training)) != without);
  CHECK(values(block.forward(x, e, training)) != values(block.forward(x, e, training)));
  CHECK(error_of([&] { block.forward(x, e, {.training = true}); }) ==
        "dropout: training with dropout needs a generator");
}

TEST_CASE("blocks of images say what is wrong") {
  Generator generator(9);
  CHECK(error_of([&] { Conv2d(0, 3, 3, generator); }) ==
        "Conv2d: 0 -> 3 channels with kernels of 3 x 3 and stride 1 is not a layer");
  CHECK(error_of([&] { Conv2d(1, 3, 3, generator, {.stride = 0}); }) ==
        "Conv2d: 1 -> 3 channels with kernels of 3 x 3 and stride 0 is not a layer");
  CHECK(error_of([&] { ImageAttention(8, 3, 8, generator); }) ==
        "ImageAttention: 8 channels do not fall into 3 heads");
  CHECK(error_of([&] { ConvBlock({.in = 1, .out = 12}, generator); }) ==
        "GroupNorm: 12 channels do not fall into 8 groups");
  CHECK(error_of([&] {
          check_image_levels("X", {3, 12, 10}, 8, {1, 2, 2});
        }) == "X: with 3 levels, the height and width of an image are multiples of 4, and they are 12 x 10");
  CHECK(error_of([&] { check_image_levels("X", {2}, 8, {1}); }) ==
        "X: an example is an image [channels, height, width], not [2]");
  CHECK(error_of([&] { check_image_levels("X", {1, 2, 2}, 0, {1}); }) == "X: the first level has 0 channels");
  CHECK(error_of([&] {
          check_image_levels("X", {1, 2, 2}, 8, {1, 0});
        }) == "X: the multipliers of the levels' channels are [1, 0]; it takes 1 to 16 positive numbers");
  CHECK_THROWS_AS(check_image_levels("X", {1, 2, 2}, 8, {}), Error);
}

}  // namespace haze
