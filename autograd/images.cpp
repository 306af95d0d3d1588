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
            scatter_add(zeros(flat, g.dtype(), g.device()), 2, reshape(index, windows), reshape(g, windows));
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
