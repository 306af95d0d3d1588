#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

const std::vector<ConvolutionOptions>& all_options() {
  static const std::vector<ConvolutionOptions> options = {
      {},
      ConvolutionOptions::even(2, 1),
      {2, 1, 1, 0, 2, 1, 1, 2},      // strides, padding and dilation that differ
      {1, 2, 0, 1, 1, 1, 1, 1, 2}};  // groups
  return options;
}

Tensor weight_for(const ConvolutionOptions& options) {
  return random({2, 2 / options.groups, 2, 3}, 2);
}

}  // namespace

// Linear functions are squared so that second derivatives differ from 0.

TEST_CASE("convolution with every option agrees with central differences, twice") {
  for (const ConvolutionOptions& options : all_options()) {
    const auto f = [&](const Inputs& in) { return square(conv2d(in[0], in[1], in[2], options)); };
    check_first_and_second("conv2d", f, {random({2, 2, 3, 4}), weight_for(options), random({2}, 3)});
  }
}

TEST_CASE("the gradients of a convolution can themselves be differentiated twice") {
  for (const ConvolutionOptions& options : all_options()) {
    const Tensor x = random({1, 2, 3, 4}), weight = weight_for(options);
    const Tensor g = random(conv2d(x, weight, {}, options).shape(), 4);
    check_first_and_second(
        "conv2d_gradient_x",
        [&](const Inputs& in) { return square(conv2d_gradient_x(in[0], in[1], 3, 4, options)); },
        {g, weight});
    check_first_and_second(
        "conv2d_gradient_weight",
        [&](const Inputs& in) { return square(conv2d_gradient_weight(in[0], in[1], 2, 3, options)); },
        {g, x});
  }
}

TEST_CASE("transposed convolution agrees with central differences, twice") {
  for (const ConvolutionOptions& options : all_options()) {
    const auto f = [&](const Inputs& in) {
      return square(conv_transpose2d(in[0], in[1], in[2], options, options.stride_h - 1, 0));
    };
    check_first_and_second("conv_transpose2d", f,
                           {random({1, 2, 3, 3}), weight_for(options), random({2}, 3)});
  }
}

TEST_CASE("transposed convolution computes only the gradients that are needed") {
  const Tensor x = random({1, 4, 3, 3}), weight = random({4, 2, 2, 3}, 2);
  check_first_and_second("conv_transpose2d of x",
                         [&](const Inputs& in) { return square(conv_transpose2d(in[0], weight, {})); }, {x});
  check_first_and_second("conv_transpose2d of weight",
                         [&](const Inputs& in) { return square(conv_transpose2d(x, in[0], {})); }, {weight});
}
