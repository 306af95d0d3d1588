#include "haze/autograd/rules.h"

namespace haze {
namespace {

/// The rule out of operations that can be differentiated. `channels` is [channels, 1, ...].
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
          return group_norm_composition(widened(g), widened(x.variable()), widened(weight.variable()),
                                        channels, groups, epsilon);
        }
        const NormGradient d =
            group_norm_gradient(g.value(), x.value(), weight.value(), groups, saved, needed(2));
        return Gradients{kept_if(needed(0), d.x), kept_if(needed(1), d.weight), kept_if(needed(2), d.bias)};
      });
}

}  // namespace haze
