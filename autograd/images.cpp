#include "haze/autograd/rules.h"

// Images: [batch, channels, height, width].
namespace haze {

Variable unfold(const Variable& x, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding) {
  Tensor value = unfold(x.value(), kernel_h, kernel_w, stride, padding);
  // Each pixel was copied into several columns: their gradients add up, which is fold.
  return Tape::record("unfold", std::move(value), {x},
                      [=, height = x.size(2), width = x.size(3)](const Variable& g) {
                        return Gradients{fold(g, height, width, kernel_h, kernel_w, stride, padding)};
                      });
}

Variable fold(const Variable& columns, int64_t height, int64_t width, int64_t kernel_h, int64_t kernel_w,
              int64_t stride, int64_t padding) {
  // The adjoint of unfold.
  return Tape::record(
      "fold", fold(columns.value(), height, width, kernel_h, kernel_w, stride, padding), {columns},
      [=](const Variable& g) { return Gradients{unfold(g, kernel_h, kernel_w, stride, padding)}; });
}

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, int64_t stride,
                int64_t padding) {
  Tensor value = conv2d(x.value(), weight.value(), bias.value(), stride, padding);
  // y = W unfold(x) + b, with W as [out, channels kernel_h kernel_w] and g as [batch, out, pixels]: x gets
  // fold(W^T g), W the sum over the batch of g unfold(x)^T, b the sum of g
  return Tape::record("conv2d", std::move(value), {x, weight, bias},
                      [=, x_kept = kept_if(weight.requires_gradient(), x),
                       w_kept = kept_if(x.requires_gradient(), weight), x_shape = x.shape(),
                       w_shape = weight.shape(), b_needed = bias.requires_gradient()](const Variable& g) {
                        const Variable g_rows = reshape(g, {g.size(0), g.size(1), g.size(2) * g.size(3)});
                        const Shape flat{w_shape[0], w_shape[1] * w_shape[2] * w_shape[3]};
                        Gradients gradients(3);
                        if (w_kept.defined()) {
                          const Variable columns = matmul(transpose(reshape(w_kept, flat)), g_rows);
                          gradients[0] =
                              fold(columns, x_shape[2], x_shape[3], w_shape[2], w_shape[3], stride, padding);
                        }
                        if (x_kept.defined()) {
                          const Variable columns = unfold(x_kept, w_shape[2], w_shape[3], stride, padding);
                          gradients[1] = reshape(sum(matmul(g_rows, transpose(columns)), {0}), w_shape);
                        }
                        if (b_needed) gradients[2] = sum(g, {0, 2, 3});
                        return gradients;
                      });
}

Variable average_pool(const Variable& x, int64_t size) {
  // Each pixel of a window gets 1/size^2 of the gradient of its mean.
  return Tape::record("average_pool", average_pool(x.value(), size), {x}, [size](const Variable& g) {
    return Gradients{upsample(g * (1.0 / static_cast<double>(size * size)), size)};
  });
}

Variable max_pool(const Variable& x, int64_t size) {
  auto [value, index] = max_pool(x.value(), size);
  // The pixel that was the maximum gets the gradient.
  return Tape::record(
      "max_pool", std::move(value), {x}, [index = std::move(index), shape = x.shape()](const Variable& g) {
        const Shape flat{shape[0], shape[1], shape[2] * shape[3]};
        const Shape windows{shape[0], shape[1], g.size(2) * g.size(3)};
        const Variable plane =
            scatter_add(zeros(flat, g.dtype()), 2, reshape(index, windows), reshape(g, windows));
        return Gradients{reshape(plane, shape)};
      });
}

Variable upsample(const Variable& x, int64_t size) {
  // Each pixel was repeated size^2 times: size^2 times the mean of their gradients.
  return Tape::record("upsample", upsample(x.value(), size), {x}, [size](const Variable& g) {
    return Gradients{average_pool(g, size) * static_cast<double>(size * size)};
  });
}

}  // namespace haze
