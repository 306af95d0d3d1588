#include "haze/nn/layers.h"

#include <cmath>

namespace haze {

Variable ForwardContext::drop(const Variable& x, double probability) const {
  if (!training || probability == 0) return x;
  if (!generator) fail("dropout: training with dropout needs a generator");
  return dropout(x, probability, *generator);
}

Linear::Linear(int64_t in, int64_t out, Generator& generator, bool bias, double gain) {
  if (in < 1 || out < 1) fail("Linear: {} -> {} is not a layer", in, out);
  const double bound = gain / std::sqrt(static_cast<double>(in));
  add_parameter("weight", weight_,
                bound == 0 ? zeros({out, in}) : uniform({out, in}, generator, -bound, bound));
  if (bias) add_parameter("bias", bias_, zeros({out}));
}

Variable Linear::forward(const Variable& x, Activation activation, const Variable& residual) const {
  return linear(x, weight_, bias_, activation, residual);
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t size, Generator& generator, const Conv2dOptions& options)
    : stride_(options.stride), padding_((size - 1) / 2) {
  if (in < 1 || out < 1 || size < 1 || options.stride < 1) {
    fail("Conv2d: {} -> {} channels with kernels of {} x {} and stride {} is not a layer", in, out, size,
         size, options.stride);
  }
  const Shape shape{out, in, size, size};
  const double bound = options.gain / std::sqrt(static_cast<double>(in * size * size));
  add_parameter("weight", weight_, bound == 0 ? zeros(shape) : uniform(shape, generator, -bound, bound));
  add_parameter("bias", bias_, zeros({out}));
}

Variable Conv2d::forward(const Variable& x) const {
  return conv2d(x, weight_, bias_, stride_, padding_);
}

Embedding::Embedding(int64_t count, int64_t width, Generator& generator, double standard_deviation) {
  add_parameter("weight", weight_, normal({count, width}, generator, 0, standard_deviation));
}

LayerNorm::LayerNorm(int64_t width, double epsilon, bool affine) : epsilon_(epsilon) {
  if (!affine) return;
  add_parameter("weight", weight_, ones({width}));
  add_parameter("bias", bias_, zeros({width}));
}

RmsNorm::RmsNorm(int64_t width, double epsilon) : epsilon_(epsilon) {
  add_parameter("weight", weight_, ones({width}));
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double epsilon) : groups_(groups), epsilon_(epsilon) {
  if (groups < 1 || channels % groups != 0)
    fail("GroupNorm: {} channels do not fall into {} groups", channels, groups);
  add_parameter("weight", weight_, ones({channels}));
  add_parameter("bias", bias_, zeros({channels}));
}

Mlp::Mlp(int64_t width, int64_t inner, Activation activation, double dropout, Generator& generator,
         double output_gain)
    : up_(width, inner, generator),
      down_(inner, width, generator, true, output_gain),
      activation_(activation),
      dropout_(dropout) {
  add_module("up", up_);
  add_module("down", down_);
}

Variable Mlp::forward(const Variable& x, const ForwardContext& context, const Variable& residual) const {
  const auto run = [&](const Variable& added) {
    return mlp(x, up_.weight(), up_.bias(), down_.weight(), down_.bias(), activation_, added);
  };
  if (context.rate(dropout_) == 0) return run(residual);
  const Variable result = context.drop(run({}), dropout_);
  return residual.defined() ? result + residual : result;
}

}  // namespace haze
