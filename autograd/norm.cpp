#include "haze/autograd/rules.h"

namespace haze {
namespace {

// What the rules compute where the backward pass is recorded: operations on Variables, which can be
// differentiated again. Rows lie on the last axis.

Gradients layer_norm_composition(const Variable& g, const Variable& x, const Variable& weight,
                                 double epsilon) {
  const Variable rstd = reciprocal_deviation(x, epsilon);
  const Variable n = (x - mean(x, {-1}, true)) * rstd;
  Gradients gradients(3);
  if (needed(0)) {
    gradients[0] = through_standardization(weight.defined() ? g * weight : g, n, rstd);
  }
  if (needed(1)) gradients[1] = sum_to(g * n, weight.shape());
  if (needed(2)) gradients[2] = sum_to(g, {g.size(-1)});
  return gradients;
}

Gradients rms_norm_composition(const Variable& g, const Variable& x, const Variable& weight, double epsilon) {
  const Variable scale = unary(UnaryOp::rsqrt, mean(square(x), {-1}, true) + epsilon);
  const Variable n = x * scale;
  Gradients gradients(2);
  if (needed(0)) {
    const Variable h = weight.defined() ? g * weight : g;
    gradients[0] = scale * (h - n * mean(h * n, {-1}, true));
  }
  if (needed(1)) gradients[1] = sum_to(g * n, weight.shape());
  return gradients;
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double epsilon,
                    int axis) {
  if (!is_last(axis, x))
    return transpose(layer_norm(transpose(x, axis, -1), weight, bias, epsilon), axis, -1);
  NormResult saved = layer_norm(x.value(), weight.value(), bias.value(), epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = n w + b, n = (x - m) r: with h = g w, x gets r (h - mean(h) - n mean(h n)), w the sum over rows of g
  // n, b of g
  return Tape::record(
      "layer_norm", std::move(value), {x, weight, bias},
      [epsilon, saved, x = Saved("x", x), weight = Saved("weight", weight)](const Variable& g) {
        if (gradients_enabled()) {
          return layer_norm_composition(widened(g), widened(x.variable()), widened(weight.variable()),
                                        epsilon);
        }
        const NormGradient d = layer_norm_gradient(g.value(), x.value(), weight.value(), saved, needed(2));
        return Gradients{kept_if(needed(0), d.x), kept_if(needed(1), d.weight), kept_if(needed(2), d.bias)};
      });
}

Variable rms_norm(const Variable& x, const Variable& weight, double epsilon, int axis) {
  if (!is_last(axis, x)) return transpose(rms_norm(transpose(x, axis, -1), weight, epsilon), axis, -1);
  NormResult saved = rms_norm(x.value(), weight.value(), epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = n w, n = x r: with h = g w, x gets r (h - n mean(h n)), w the sum over rows of g n
  return Tape::record(
      "rms_norm", std::move(value), {x, weight},
      [epsilon, saved, x = Saved("x", x), weight = Saved("weight", weight)](const Variable& g) {
        if (gradients_enabled()) {
          return rms_norm_composition(widened(g), widened(x.variable()), widened(weight.variable()), epsilon);
        }
        const NormGradient d = rms_norm_gradient(g.value(), x.value(), weight.value(), saved);
        return Gradients{kept_if(needed(0), d.x), kept_if(needed(1), d.weight)};
      });
}

}  // namespace haze
