#include <fmt/format.h>

#include "haze/bench/kernel_case.h"
#include "haze/bench/peers.h"
#include "haze/engine/error.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

struct Convolution {
  int64_t batch, in, size, out, kernel, stride;  // images of size x size
};

// A U-Net's: the 3 x 3 convolutions of its levels from the image down to 8 x 8, those that halve an image,
// and the 1 x 1 that bring the channels of a skip connection together.
constexpr Convolution kConvolutions[] = {
    {32, 3, 32, 32, 3, 1},   {32, 16, 64, 16, 3, 1},   {32, 32, 32, 32, 3, 1},   {32, 64, 64, 64, 3, 1},
    {32, 64, 32, 64, 3, 1},  {32, 128, 16, 128, 3, 1}, {32, 256, 16, 128, 3, 1}, {32, 256, 8, 256, 3, 1},
    {128, 64, 8, 64, 3, 1},  {32, 512, 8, 512, 3, 1},  {32, 64, 32, 64, 3, 2},   {32, 128, 16, 256, 3, 2},
    {32, 64, 32, 128, 1, 1}, {32, 256, 16, 128, 1, 1}, {32, 512, 8, 256, 1, 1}};

std::string_view name(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::forward:
      return "forward";
    case ConvolutionPass::gradient_x:
      return "gradient of x";
    default:
      return "gradient of weight";
  }
}

/// Throws Error where the peer computes something else: then comparing times would say nothing.
void check_agreement(const std::string& row, const Tensor& ours, const Tensor& peers) {
  const double difference = global_norm(std::vector<Tensor>{subtract(ours, peers)});
  const double norm = global_norm(std::vector<Tensor>{ours});
  if (!(difference <= 1e-4 * norm))
    fail("{}: haze's result and the peer's differ by {:.1e} of their norm", row, difference / norm);
}

KernelCase prepare(const Convolution& c, ConvolutionPass pass, const std::string& row) {
  Generator generator(1);
  const ConvolutionOptions options = ConvolutionOptions::even(c.stride, c.kernel / 2);
  const Tensor x = normal({c.batch, c.in, c.size, c.size}, generator);
  const Tensor weight = normal({c.out, c.in, c.kernel, c.kernel}, generator);
  const int64_t size = (c.size - 1) / c.stride + 1;
  const Tensor y = normal({c.batch, c.out, size, size}, generator);
  const auto ours = [=] {
    switch (pass) {
      case ConvolutionPass::forward:
        return conv2d(x, weight, {}, options);
      case ConvolutionPass::gradient_x:
        return conv2d_gradient_x(y, weight, c.size, c.size, options);
      default:
        return conv2d_gradient_weight(y, x, c.kernel, c.kernel, options);
    }
  };
  const Tensor expected = ours();
  const Tensor result(expected.shape());  // the peer's
  KernelCase kernel{[=] { ours(); }, {}};
  switch (pass) {
    case ConvolutionPass::forward:
      kernel.peer = onednn_convolution(pass, x, weight, options, result);
      break;
    case ConvolutionPass::gradient_x:
      kernel.peer = onednn_convolution(pass, result, weight, options, y);
      break;
    default:
      kernel.peer = onednn_convolution(pass, x, result, options, y);
  }
  kernel.peer();
  check_agreement(row, expected, result);
  return kernel;
}

}  // namespace

KernelGroup convolution_kernels() {
  KernelGroup group{"convolution float32", "oneDNN", false, {}};
  for (const Convolution& c : kConvolutions) {
    for (const ConvolutionPass pass :
         {ConvolutionPass::forward, ConvolutionPass::gradient_x, ConvolutionPass::gradient_weight}) {
      const std::string title =
          fmt::format("{} x {} of {}x{} to {} by {}x{}{}, {}", c.batch, c.in, c.size, c.size, c.out, c.kernel,
                      c.kernel, c.stride > 1 ? " stride 2" : "", name(pass));
      const int64_t size = (c.size - 1) / c.stride + 1;
      const double images = static_cast<double>(c.batch * c.size * c.size * c.in),
                   results = static_cast<double>(c.batch * size * size * c.out),
                   weights = static_cast<double>(c.out * c.in * c.kernel * c.kernel);
      KernelRow row;
      row.name = title;
      row.operations = 2 * results * static_cast<double>(c.in * c.kernel * c.kernel);
      row.bytes = sizeof(float) * (images + results + weights);
      row.prepare = [=] { return prepare(c, pass, title); };
      group.rows.push_back(row);
    }
  }
  return group;
}

}  // namespace haze
