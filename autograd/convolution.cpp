#include "haze/autograd/rules.h"

// A convolution y = W * x is linear in W and in x, and so are its two gradients: each of the three maps below
// is differentiated by the other two, any number of times.
namespace haze {
namespace {

// Of a bias that was added to every pixel of each channel.
Variable bias_gradient(bool needed, const Variable& g) {
  return needed ? sum(g, {0, 2, 3}) : Variable();
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const ConvolutionOptions& options) {
  Tensor value = conv2d(x.value(), weight.value(), bias.value(), options);
  // <g, W * x> = <gradient_x(g, W), x> = <gradient_weight(g, x), W>
  return Tape::record("conv2d", std::move(value), {x, weight, bias},
                      [=, x_kept = kept_if(weight.requires_gradient(), x),
                       w_kept = kept_if(x.requires_gradient(), weight), x_shape = x.shape(),
                       w_shape = weight.shape(), b_needed = bias.requires_gradient()](const Variable& g) {
                        Gradients gradients(3);
                        if (w_kept.defined())
                          gradients[0] = conv2d_gradient_x(g, w_kept, x_shape[2], x_shape[3], options);
                        if (x_kept.defined()) {
                          gradients[1] = conv2d_gradient_weight(g, x_kept, w_shape[2], w_shape[3], options);
                        }
                        gradients[2] = bias_gradient(b_needed, g);
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
  return Tape::record(
      "conv2d_gradient_x", std::move(value), {g, weight},
      [=, g_kept = kept_if(weight.requires_gradient(), g), w_kept = kept_if(g.requires_gradient(), weight),
       w_shape = weight.shape()](const Variable& u) {
        Gradients gradients(2);
        if (w_kept.defined()) gradients[0] = conv2d(u, w_kept, {}, options);
        if (g_kept.defined()) {
          gradients[1] = conv2d_gradient_weight(g_kept, u, w_shape[2], w_shape[3], options);
        }
        return gradients;
      });
}

Variable conv2d_gradient_weight(const Variable& g, const Variable& x, int64_t kernel_h, int64_t kernel_w,
                                const ConvolutionOptions& options) {
  Tensor value = conv2d_gradient_weight(g.value(), x.value(), kernel_h, kernel_w, options);
  // <u, gradient_weight(g, x)> = <g, u * x> = <gradient_x(g, u), x>
  return Tape::record("conv2d_gradient_weight", std::move(value), {g, x},
                      [=, g_kept = kept_if(x.requires_gradient(), g),
                       x_kept = kept_if(g.requires_gradient(), x), x_shape = x.shape()](const Variable& u) {
                        Gradients gradients(2);
                        if (x_kept.defined()) gradients[0] = conv2d(x_kept, u, {}, options);
                        if (g_kept.defined())
                          gradients[1] = conv2d_gradient_x(g_kept, u, x_shape[2], x_shape[3], options);
                        return gradients;
                      });
}

Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const ConvolutionOptions& options, int64_t output_padding_h,
                          int64_t output_padding_w) {
  Tensor value =
      conv_transpose2d(x.value(), weight.value(), bias.value(), options, output_padding_h, output_padding_w);
  // <g, gradient_x(x, W) + b> = <x, W * g> + <b, the sum of g> = <gradient_weight(x, g), W> + ...
  return Tape::record(
      "conv_transpose2d", std::move(value), {x, weight, bias},
      [=, x_kept = kept_if(weight.requires_gradient(), x), w_kept = kept_if(x.requires_gradient(), weight),
       w_shape = weight.shape(), b_needed = bias.requires_gradient()](const Variable& g) {
        Gradients gradients(3);
        if (w_kept.defined()) gradients[0] = conv2d(g, w_kept, {}, options);
        if (x_kept.defined()) {
          gradients[1] = conv2d_gradient_weight(x_kept, g, w_shape[2], w_shape[3], options);
        }
        gradients[2] = bias_gradient(b_needed, g);
        return gradients;
      });
}

}  // namespace haze
