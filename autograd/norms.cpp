#include "haze/autograd/rules.h"

namespace haze {
namespace {

/// Rows of x [..., n] with mean 0 and variance 1. Unlike layer_norm() it can be differentiated twice.
Variable standardise(const Variable& x, double epsilon) {
  NormResult saved = layer_norm(x.value(), Tensor(), Tensor(), epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = (x - m) r, r = 1/sqrt(variance + epsilon): x gets r (g - mean(g) - y mean(g y))
  return Tape::record("group_norm", std::move(value), {x}, [=](const Variable& g, const Variable& y) {
    if (!gradients_enabled()) {
      return Gradients{layer_norm_gradient(g.value(), x.value(), Tensor(), saved, false).x};
    }
    const Variable r = unary(UnaryOp::rsqrt, reduce(ReduceOp::variance, x, {-1}, true) + epsilon);
    return Gradients{r * (g - mean(g, {-1}, true) - y * mean(g * y, {-1}, true))};
  });
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double epsilon) {
  NormResult saved = layer_norm(x.value(), weight.value(), bias.value(), epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = n w + b, n = (x - m) r: with h = g w, x gets r (h - mean(h) - n mean(h n)), w the sum over rows of g
  // n, b of g
  return Tape::record(
      "layer_norm", std::move(value), {x, weight, bias},
      [saved, at = x.value(), w = weight.value(), x_needed = x.requires_gradient(),
       w_needed = weight.requires_gradient(), b_needed = bias.requires_gradient()](const Variable& g) {
        refuse_second_derivative("layer_norm");
        const NormGradient d = layer_norm_gradient(g.value(), at, w, saved, b_needed);
        return Gradients{kept_if(x_needed, d.x), kept_if(w_needed, d.weight), kept_if(b_needed, d.bias)};
      });
}

Variable rms_norm(const Variable& x, const Variable& weight, double epsilon) {
  NormResult saved = rms_norm(x.value(), weight.value(), epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = n w, n = x r: with h = g w, x gets r (h - n mean(h n)), w the sum over rows of g n
  return Tape::record("rms_norm", std::move(value), {x, weight},
                      [saved, at = x.value(), w = weight.value(), x_needed = x.requires_gradient(),
                       w_needed = weight.requires_gradient()](const Variable& g) {
                        refuse_second_derivative("rms_norm");
                        const NormGradient d = rms_norm_gradient(g.value(), at, w, saved);
                        return Gradients{kept_if(x_needed, d.x), kept_if(w_needed, d.weight)};
                      });
}

Variable group_norm(const Variable& x, const Variable& weight, const Variable& bias, int64_t groups,
                    double epsilon) {
  if (x.rank() < 2 || groups < 1 || x.size(1) % groups != 0) {
    fail("group_norm: x has shape {}; it takes [batch, channels, ...] with channels a multiple of {} groups",
         x.shape().to_string(), groups);
  }
  const int64_t channels = x.size(1);
  const int64_t in_group = channels ? x.value().elements() / std::max<int64_t>(x.size(0) * groups, 1) : 0;
  Variable y = reshape(standardise(reshape(x, {x.size(0), groups, in_group}), epsilon), x.shape());

  Shape per_channel{channels};  // [channels, 1, ...] broadcasts over the axes behind channels
  for (int i = 2; i < x.rank(); ++i) per_channel.append(1);
  for (const Variable* p : {&weight, &bias}) {
    if (p->defined() && !(p->shape() == Shape{channels})) {
      fail("group_norm: weight and bias take shape [{}], got {}", channels, p->shape().to_string());
    }
  }
  if (weight.defined()) y = y * reshape(weight, per_channel);
  if (bias.defined()) y = y + reshape(bias, per_channel);
  return y;
}

}  // namespace haze
