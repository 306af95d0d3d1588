#include "haze/diffusion/gaussian/gaussian_denoiser.h"

#include <memory>

namespace haze {

Tensor weighted_sum(double a, const Tensor& x, double b, const Tensor& y) {
  return add(scale_shift(x, a, 0), scale_shift(y, b, 0));
}

Denoised denoised_from(Parameterisation kind, const Tensor& prediction, const Tensor& x,
                       const NoiseLevel& level) {
  const double alpha = level.alpha, sigma = level.sigma;
  switch (kind) {
    case Parameterisation::epsilon:
      return {.x_0 = weighted_sum(1 / alpha, x, -sigma / alpha, prediction), .epsilon = prediction};
    case Parameterisation::x_0:
      return {.x_0 = prediction, .epsilon = weighted_sum(1 / sigma, x, -alpha / sigma, prediction)};
    case Parameterisation::v: {
      // x and v are x_0 and epsilon turned by an angle, times this length; 1 where variance is preserved.
      const double length = alpha * alpha + sigma * sigma;
      return {.x_0 = weighted_sum(alpha / length, x, -sigma / length, prediction),
              .epsilon = weighted_sum(sigma / length, x, alpha / length, prediction)};
    }
  }
  fail("denoised_from: unknown parameterisation");
}

GaussianDenoiser clipped(GaussianDenoiser denoise, double low, double high) {
  return [=](const Tensor& x, const NoiseLevel& level) {
    const Denoised free = denoise(x, level);
    Denoised kept =
        denoised_from(Parameterisation::x_0, unary(UnaryOp::clamp, free.x_0, low, high), x, level);
    kept.variance_share = free.variance_share;
    return kept;
  };
}

NoiseSource example_noise(int64_t count, Generator& generator, Device device) {
  const auto words = generator.reserve(1).words(0);
  const uint64_t seed = (uint64_t{words[0]} << 32) | words[1];
  // Each call has a stream of its own, in which example i's numbers lie at a place that the count does not
  // move; a counter gives four numbers. So one call of normal() serves all examples. Copies of the source
  // share the number of calls.
  return [count, seed, device, calls = std::make_shared<uint64_t>(0)](const Shape& shape, Dtype dtype) {
    if (shape.rank() < 1 || shape[0] != count || count == 0)
      fail("example_noise: shape {}; the noise is that of {} examples", shape.to_string(), count);
    int64_t numbers = 1;
    for (int axis = 1; axis < shape.rank(); ++axis) numbers *= shape[axis];
    const int64_t places = (numbers + 3) / 4 * 4;
    Generator own(seed, (*calls)++);
    const Tensor all = normal({count, places}, own, 0, 1, dtype, device);
    return reshape(slice(all, 1, 0, numbers), shape);
  };
}

}  // namespace haze
