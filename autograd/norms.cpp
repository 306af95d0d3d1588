#include "haze/autograd/rules.h"

namespace haze {
namespace {

// What the rules compute where the backward pass is recorded: operations on Variables, which can be
// differentiated again. Rows lie on the last axis.

/// What x gets in n = (x - m) r, m and 1 / r being the mean and standard deviation of each row, from the
/// gradient h of n.
Variable through_standardization(const Variable& h, const Variable& n, const Variable& rstd) {
  return rstd * (h - mean(h, {-1}, true) - n * mean(h * n, {-1}, true));
}

/// 1 / sqrt(variance + epsilon) of each row.
Variable reciprocal_deviation(const Variable& rows, double epsilon) {
  return unary(UnaryOp::rsqrt, reduce(ReduceOp::variance, rows, {-1}, true) + epsilon);
}

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

/// `channels` is [channels, 1, ...].
Gradients group_norm_composition(const Variable& g, const Variable& x, const Variable& weight,
                                 const Shape& channels, int64_t groups, double epsilon) {
  const Shape grouped{x.size(0), groups, x.value().elements() / std::max<int64_t>(x.size(0) * groups, 1)};
  const Variable rows = reshape(x, grouped);
  const Variable rstd = reciprocal_deviation(rows, epsilon);
  const Variable n = (rows - mean(rows, {-1}, true)) * rstd;
  const auto per_channel = [&](const Variable& y) { return reshape(sum_to(y, channels), {channels[0]}); };
  Gradients gradients(3);
  if (needed(0)) {
    const Variable h = reshape(weight.defined() ? g * reshape(weight, channels) : g, grouped);
    gradients[0] = reshape(through_standardization(h, n, rstd), x.shape());
  }
  if (needed(1)) gradients[1] = per_channel(g * reshape(n, x.shape()));
  if (needed(2)) gradients[2] = per_channel(g);
  return gradients;
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double epsilon) {
  NormResult saved = layer_norm(x.value(), weight.value(), bias.value(), epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = n w + b, n = (x - m) r: with h = g w, x gets r (h - mean(h) - n mean(h n)), w the sum over rows of g
  // n, b of g
  return Tape::record(
      "layer_norm", std::move(value), {x, weight, bias},
      [epsilon, saved, x = Saved("x", x), weight = Saved("weight", weight)](const Variable& g) {
        if (gradients_enabled()) return layer_norm_composition(g, x.variable(), weight.variable(), epsilon);
        const NormGradient d = layer_norm_gradient(g.value(), x.value(), weight.value(), saved, needed(2));
        return Gradients{kept_if(needed(0), d.x), kept_if(needed(1), d.weight), kept_if(needed(2), d.bias)};
      });
}

Variable rms_norm(const Variable& x, const Variable& weight, double epsilon) {
  NormResult saved = rms_norm(x.value(), weight.value(), epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = n w, n = x r: with h = g w, x gets r (h - n mean(h n)), w the sum over rows of g n
  return Tape::record(
      "rms_norm", std::move(value), {x, weight},
      [epsilon, saved, x = Saved("x", x), weight = Saved("weight", weight)](const Variable& g) {
        if (gradients_enabled()) return rms_norm_composition(g, x.variable(), weight.variable(), epsilon);
        const NormGradient d = rms_norm_gradient(g.value(), x.value(), weight.value(), saved);
        return Gradients{kept_if(needed(0), d.x), kept_if(needed(1), d.weight)};
      });
}

Variable group_norm(const Variable& x, const Variable& weight, const Variable& bias, int64_t groups,
                    double epsilon) {
  NormResult saved = group_norm(x.value(), weight.value(), bias.value(), groups, epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  Shape channels{x.size(1)};  // [channels, 1, ...] broadcasts over the axes behind channels
  for (int i = 2; i < x.rank(); ++i) channels.append(1);
  // y = n w + b, n = (x - m) r in each group: with h = g w, x gets r (h - mean(h) - n mean(h n)), w the sum
  // of g n, b of g over all axes but the channels
  return Tape::record(
      "group_norm", std::move(value), {x, weight, bias},
      [=, x = Saved("x", x), weight = Saved("weight", weight)](const Variable& g) {
        if (gradients_enabled()) {
          return group_norm_composition(g, x.variable(), weight.variable(), channels, groups, epsilon);
        }
        const NormGradient d =
            group_norm_gradient(g.value(), x.value(), weight.value(), groups, saved, needed(2));
        return Gradients{kept_if(needed(0), d.x), kept_if(needed(1), d.weight), kept_if(needed(2), d.bias)};
      });
}

}  // namespace haze
