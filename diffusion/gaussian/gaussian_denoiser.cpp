#include "haze/diffusion/gaussian/gaussian_denoiser.h"

#include <memory>

#include "haze/diffusion/example_streams.h"

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

NoiseSource example_noise(int64_t count, Generator& generator) {
  auto streams =
      std::make_shared<std::vector<Generator>>(example_streams(static_cast<size_t>(count), generator));
  return [streams](const Shape& shape, Dtype dtype) {
    const int64_t examples = std::ssize(*streams);
    if (shape.rank() < 1 || shape[0] != examples)
      fail("example_noise: shape {}; the streams are of {} examples", shape.to_string(), examples);
    Tensor noise(shape, dtype);
    for (int64_t i = 0; i < examples; ++i) {
      const Tensor own = slice(noise, 0, i, i + 1);
      copy_into(own, normal(own.shape(), (*streams)[static_cast<size_t>(i)], 0, 1, dtype));
    }
    return noise;
  };
}

}  // namespace haze
