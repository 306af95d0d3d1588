#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

namespace haze::call {

/// Floating-point operations of a convolution and of its gradients. They are a multiply-add for each pixel of
/// `windows` [batch, out, out_h, out_w] and each element of the weight that reaches the pixel.
inline double convolution_flops(const Tensor& windows, const Tensor& weight) {
  return 2.0 * static_cast<double>(windows.elements()) *
         static_cast<double>(weight.size(1) * weight.size(2) * weight.size(3));
}

struct Conv2d {
  Tensor x;       // contiguous [batch, in, height, width], real
  Tensor weight;  // contiguous [out, in / groups, kernel_h, kernel_w]
  Tensor bias;    // contiguous [out] or undefined
  ConvolutionOptions options;
  Tensor out;  // contiguous [batch, out, out_h, out_w]

  const char* name() const { return "conv2d"; }
  double flops() const { return convolution_flops(out, weight); }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "weight", weight), f(Use::read, "bias", bias);
    f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

/// The gradient of Conv2d's x, which with a bias is also the transposed convolution.
struct Conv2dGradientX {
  Tensor g;       // contiguous [batch, out, out_h, out_w], real
  Tensor weight;  // contiguous [out, in / groups, kernel_h, kernel_w]
  Tensor bias;    // contiguous [in] or undefined
  ConvolutionOptions options;
  Tensor out;  // contiguous [batch, in, height, width]

  const char* name() const { return "conv2d_gradient_x"; }
  double flops() const { return convolution_flops(g, weight); }
  void each_operand(auto&& f) const {
    f(Use::read, "g", g), f(Use::read, "weight", weight), f(Use::read, "bias", bias);
    f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

struct Conv2dGradientWeight {
  Tensor g;  // contiguous [batch, out, out_h, out_w], real
  Tensor x;  // contiguous [batch, in, height, width]
  ConvolutionOptions options;
  Tensor out;  // contiguous [out, in / groups, kernel_h, kernel_w]

  const char* name() const { return "conv2d_gradient_weight"; }
  double flops() const { return convolution_flops(g, out); }
  void each_operand(auto&& f) const {
    f(Use::read, "g", g), f(Use::read, "x", x), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
