#include <algorithm>

#include <fmt/format.h>

#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

namespace haze::test {
namespace {

struct ConvolutionCase {
  Shape image;  // [batch, in, height, width]
  int64_t out, kernel_h, kernel_w;
  ConvolutionOptions options;
};

ConvolutionOptions even(int64_t stride, int64_t padding) {
  return ConvolutionOptions::even(stride, padding);
}

// Kernels of one pixel and more, even and odd; images narrower than a vector, as wide as some and wider than
// a panel of patches; channels around the lengths of vectors and tiles; every option, alone and with others.
std::vector<ConvolutionCase> convolution_cases() {
  return {{{1, 1, 1, 1}, 1, 1, 1, {}},
          {{2, 3, 7, 5}, 4, 3, 3, even(1, 1)},
          {{2, 3, 7, 5}, 4, 3, 2, even(2, 0)},
          {{1, 17, 4, 8}, 13, 3, 3, even(1, 1)},
          {{3, 32, 4, 4}, 3, 3, 3, even(1, 1)},
          {{2, 16, 4, 16}, 2, 3, 3, even(1, 1)},
          {{1, 4, 4, 32}, 5, 3, 3, even(1, 1)},
          {{1, 2, 3, 70}, 3, 3, 3, even(1, 1)},
          {{2, 40, 5, 5}, 25, 1, 1, {}},
          {{2, 8, 9, 9}, 6, 1, 1, even(3, 0)},
          {{1, 2, 13, 9}, 3, 5, 5, even(1, 2)},
          {{2, 3, 8, 16}, 4, 3, 3, even(2, 1)},
          {{1, 1, 2, 2}, 1, 3, 3, even(1, 3)},
          {{0, 3, 7, 5}, 4, 3, 3, even(1, 1)},
          {{9, 2, 5, 4}, 5, 2, 3, even(1, 0)},
          {{1, 3, 11, 9}, 4, 3, 2, {2, 3, 2, 0, 1, 3, 1, 1}},  // strides and padding that differ
          {{1, 2, 10, 9}, 3, 3, 3, {1, 2, 1, 2, 3, 0, 3, 2}},  // dilation
          {{1, 2, 6, 6}, 3, 2, 2, {3, 3, 0, 0, 0, 0, 4, 2}},
          {{2, 6, 4, 8}, 9, 3, 3, {1, 1, 1, 1, 1, 1, 1, 1, 3}},  // groups
          {{2, 5, 7, 8}, 5, 3, 3, {2, 2, 1, 1, 1, 1, 1, 1, 5}},  // depthwise
          {{1, 4, 8, 7}, 8, 5, 1, {1, 2, 4, 0, 0, 1, 2, 1, 4}}};
}

std::string title(const std::string& function, const ConvolutionCase& c) {
  const ConvolutionOptions& o = c.options;
  return fmt::format("{} {} to {} by {}x{} stride {}x{} padding {},{},{},{} dilation {}x{} groups {}",
                     function, c.image.to_string(), c.out, c.kernel_h, c.kernel_w, o.stride_h, o.stride_w,
                     o.top, o.bottom, o.left, o.right, o.dilation_h, o.dilation_w, o.groups);
}

void add_rows(const ConvolutionCase& c, std::vector<Row>& rows) {
  const ConvolutionOptions options = c.options;
  const Shape weight{c.out, c.image[1] / options.groups, c.kernel_h, c.kernel_w};
  const Shape windows = reference::conv2d(Array(c.image), Array(weight), {}, options).shape;
  const int64_t height = c.image[2], width = c.image[3], kernel_h = c.kernel_h, kernel_w = c.kernel_w;

  for (const bool bias : {false, true}) {
    Row row{.name = title(bias ? "conv2d + bias" : "conv2d", c), .function = "conv2d", .dtypes = kReal};
    row.cases = {{{c.image}, {weight}, {{c.out}}}};
    row.apply = [=](const Tensors& in, Dtype) {
      return Tensors{conv2d(in[0], in[1], bias ? in[2] : Tensor(), options)};
    };
    row.reference = [=](const Arrays& in, Dtype) {
      return Arrays{reference::conv2d(in[0], in[1], bias ? in[2] : Array(), options)};
    };
    row.optional_inputs = {2};
    rows.push_back(row);
  }

  Row row{.name = title("conv2d_gradient_x", c), .function = "conv2d_gradient_x", .dtypes = kReal};
  row.cases = {{{windows}, {weight}}};
  row.apply = [=](const Tensors& in, Dtype) {
    return Tensors{conv2d_gradient_x(in[0], in[1], height, width, options)};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::conv2d_gradient_x(in[0], in[1], {}, height, width, options)};
  };
  rows.push_back(row);

  row = {.name = title("conv2d_gradient_weight", c), .function = "conv2d_gradient_weight", .dtypes = kReal};
  row.cases = {{{windows}, {c.image}}};
  row.apply = [=](const Tensors& in, Dtype) {
    return Tensors{conv2d_gradient_weight(in[0], in[1], kernel_h, kernel_w, options)};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::conv2d_gradient_weight(in[0], in[1], kernel_h, kernel_w, options)};
  };
  rows.push_back(row);

  // What conv2d left over of the image below and to the right is the output padding.
  const auto rest = [](int64_t extent, int64_t padding, int64_t kernel, int64_t dilation, int64_t stride) {
    return (extent + padding - (kernel - 1) * dilation - 1) % stride;
  };
  const int64_t rest_h =
      rest(height, options.top + options.bottom, kernel_h, options.dilation_h, options.stride_h);
  const int64_t rest_w =
      rest(width, options.left + options.right, kernel_w, options.dilation_w, options.stride_w);
  row = {.name = title("conv_transpose2d", c), .function = "conv_transpose2d", .dtypes = kReal};
  row.cases = {{{windows}, {weight}, {{c.image[1]}}}};
  row.apply = [=](const Tensors& in, Dtype) {
    return Tensors{conv_transpose2d(in[0], in[1], in[2], options, rest_h, rest_w)};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    return Arrays{reference::conv2d_gradient_x(in[0], in[1], in[2], height, width, options)};
  };
  row.optional_inputs = {2};
  rows.push_back(row);
}

// The row of that name and the second case: images [2, 3, 7, 5], weight [4, 3, 3, 3].
Row& row_called(std::vector<Row>& rows, const std::string& name) {
  const std::string full = title(name, convolution_cases()[1]);
  return *std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.name == full; });
}

}  // namespace

std::vector<Row> convolution_rows() {
  std::vector<Row> rows;
  for (const ConvolutionCase& c : convolution_cases()) add_rows(c, rows);
  row_called(rows, "conv2d + bias").refused_shapes = {
      {{{2, 3, 7, 5}}, {{4, 4, 3, 3}}, {{4}}}, {{{2, 3, 7, 5}}, {{4, 3, 3, 3}}, {{5}}},
      {{{3, 7, 5}}, {{4, 3, 3, 3}}, {{4}}},    {{{2, 3, 7, 5}}, {{3, 3, 3}}, {{4}}},
      {{{2, 3, 7, 5}}, {{4, 3, 0, 3}}, {{4}}}, {{{2, 3, 7, 5}}, {{4, 3, 3, 30}}, {{4}}}};
  row_called(rows, "conv2d_gradient_x").refused_shapes = {{{{2, 4, 7, 6}}, {{4, 3, 3, 3}}},
                                                          {{{2, 5, 7, 5}}, {{4, 3, 3, 3}}},
                                                          {{{4, 7, 5}}, {{4, 3, 3, 3}}},
                                                          {{{2, 4, 7, 5}}, {{4, 3, 3}}}};
  row_called(rows, "conv2d_gradient_weight").refused_shapes = {
      {{{3, 4, 7, 5}}, {{2, 3, 7, 5}}}, {{{2, 4, 6, 5}}, {{2, 3, 7, 5}}}, {{{2, 4, 7, 5}}, {{3, 7, 5}}}};
  row_called(rows, "conv_transpose2d").refused_shapes = {{{{2, 5, 7, 5}}, {{4, 3, 3, 3}}, {{3}}},
                                                         {{{2, 4, 7, 5}}, {{4, 3, 3, 3}}, {{4}}},
                                                         {{{2, 4, 0, 5}}, {{4, 3, 3, 3}}, {{3}}},
                                                         {{{4, 7, 5}}, {{4, 3, 3, 3}}, {{3}}}};
  return rows;
}

}  // namespace haze::test
