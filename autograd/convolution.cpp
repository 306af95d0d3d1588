#include "haze/autograd/rules.h"

// A convolution y = W * x is linear in W and in x, and so are its two gradients: each of the three maps below
// is differentiated by the other two, any number of times.
namespace haze {

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const ConvolutionOptions& options) {
  Tensor value = conv2d(x.value(), weight.value(), bias.value(), options);
  // <g, W * x> = <gradient_x(g, W), x> = <gradient_weight(g, x), W>
  return Tape::record(
      "conv2d", std::move(value), {x, weight, bias},
      [=, x = saved_if(weight.requires_gradient(), "x", x),
       weight = saved_if(x.requires_gradient(), "weight", weight), x_shape = x.shape(),
       w_shape = weight.shape()](const Variable& g) {
        Gradients gradients(3);
        if (needed(0))
          gradients[0] = conv2d_gradient_x(g, weight.variable(), x_shape[2], x_shape[3], options);
        if (needed(1)) {
          gradients[1] = conv2d_gradient_weight(g, x.variable(), w_shape[2], w_shape[3], options);
        }
        if (needed(2)) gradients[2] = sum(g, {0, 2, 3});
        return gradients;
      });
}

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, int64_t stride,
                int64_t padding) {
  return conv2d(x, weight, bias, ConvolutionOptions::even(stride, padding));
}

Variable conv2d_gradient_x(const Variable& g, const Variable& weight, int64_t height, int64_t width,
                           const ConvolutionOptions& options) {
  Tensor value = conv2d_gradient_x(g.value(), weight.value(), height, width, options);
  // <u, gradient_x(g, W)> = <g, W * u> = <gradient_weight(g, u), W>
  return Tape::record("conv2d_gradient_x", std::move(value), {g, weight},
                      [=, g = saved_if(weight.requires_gradient(), "g", g),
                       weight = saved_if(g.requires_gradient(), "weight", weight),
                       w_shape = weight.shape()](const Variable& u) {
                        Gradients gradients(2);
                        if (needed(0)) gradients[0] = conv2d(u, weight.variable(), {}, options);
                        if (needed(1)) {
                          gradients[1] =
                              conv2d_gradient_weight(g.variable(), u, w_shape[2], w_shape[3], options);
                        }
                        return gradients;
                      });
}

Variable conv2d_gradient_weight(const Variable& g, const Variable& x, int64_t kernel_h, int64_t kernel_w,
                                const ConvolutionOptions& options) {
  Tensor value = conv2d_gradient_weight(g.value(), x.value(), kernel_h, kernel_w, options);
  // <u, gradient_weight(g, x)> = <g, u * x> = <gradient_x(g, u), x>
  return Tape::record("conv2d_gradient_weight", std::move(value), {g, x},
                      [=, g = saved_if(x.requires_gradient(), "g", g),
                       x = saved_if(g.requires_gradient(), "x", x), x_shape = x.shape()](const Variable& u) {
                        Gradients gradients(2);
                        if (needed(0)) gradients[0] = conv2d(x.variable(), u, {}, options);
                        if (needed(1))
                          gradients[1] = conv2d_gradient_x(g.variable(), u, x_shape[2], x_shape[3], options);
                        return gradients;
                      });
}

Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const ConvolutionOptions& options, int64_t output_padding_h,
                          int64_t output_padding_w) {
  Tensor value =
      conv_transpose2d(x.value(), weight.value(), bias.value(), options, output_padding_h, output_padding_w);
  // <g, gradient_x(x, W) + b> = <x, W * g> + <b, the sum of g> = <gradient_weight(x, g), W> + ...
  return Tape::record("conv_transpose2d", std::move(value), {x, weight, bias},
                      [=, x = saved_if(weight.requires_gradient(), "x", x),
                       weight = saved_if(x.requires_gradient(), "weight", weight),
                       w_shape = weight.shape()](const Variable& g) {
                        Gradients gradients(3);
                        if (needed(0)) gradients[0] = conv2d(g, weight.variable(), {}, options);
                        if (needed(1)) {
                          gradients[1] =
                              conv2d_gradient_weight(x.variable(), g, w_shape[2], w_shape[3], options);
                        }
                        if (needed(2)) gradients[2] = sum(g, {0, 2, 3});
                        return gradients;
                      });
}

}  // namespace haze
