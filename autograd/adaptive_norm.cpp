#include "haze/autograd/rules.h"

namespace haze {
namespace {

// What the rules compute where the backward pass is recorded: operations on Variables, which can be
// differentiated again.

Gradients adaptive_layer_norm_composition(const Variable& g, const Variable& x, const Variable& scale,
                                          const Tensor& index, double epsilon) {
  const Variable rstd = reciprocal_deviation(x, epsilon);
  const Variable n = (x - mean(x, {-1}, true)) * rstd;
  Gradients gradients(3);
  if (needed(0)) gradients[0] = through_standardization(g * (index_select(scale, 0, index) + 1), n, rstd);
  if (needed(1)) gradients[1] = index_scatter(g * n, 0, index, scale.shape());
  if (needed(2)) gradients[2] = index_scatter(g, 0, index, scale.shape());
  return gradients;
}

Gradients gated_add_composition(const Variable& g, const Variable& gate, const Variable& branch,
                                const Tensor& index) {
  Gradients gradients(3);
  if (needed(0)) gradients[0] = g;
  if (needed(1)) gradients[1] = index_scatter(g * branch, 0, index, gate.shape());
  if (needed(2)) gradients[2] = g * index_select(gate, 0, index);
  return gradients;
}

}  // namespace

Variable adaptive_layer_norm(const Variable& x, const Variable& scale, const Variable& shift,
                             const Tensor& index, double epsilon) {
  NormResult saved = adaptive_layer_norm(x.value(), scale.value(), shift.value(), index, epsilon);
  Tensor value = std::exchange(saved.output, Tensor());
  // y = n (1 + s) + b with the s and b of a row's sequence: layer norm's rule for x, and for s and b sums of
  // g n and g over the rows of a sequence
  return Tape::record(
      "adaptive_layer_norm", std::move(value), {x, scale, shift},
      [epsilon, saved, x = Saved("x", x), scale = Saved("scale", scale),
       index = Saved("index", index)](const Variable& g) {
        if (gradients_enabled()) {
          return adaptive_layer_norm_composition(g, x.variable(), scale.variable(), index.value(), epsilon);
        }
        const NormGradient d =
            adaptive_layer_norm_gradient(g.value(), x.value(), scale.value(), index.value(), saved);
        return Gradients{kept_if(needed(0), d.x), kept_if(needed(1), d.weight), kept_if(needed(2), d.bias)};
      });
}

Variable gated_add(const Variable& x, const Variable& gate, const Variable& branch, const Tensor& index) {
  // d(x + a z) = dx + z da + a dz, with the a of a row's sequence
  return Tape::record("gated_add", gated_add(x.value(), gate.value(), branch.value(), index),
                      {x, gate, branch},
                      [gate = Saved("gate", gate), branch = Saved("branch", branch),
                       index = Saved("index", index)](const Variable& g) {
                        if (gradients_enabled()) {
                          return gated_add_composition(g, gate.variable(), branch.variable(), index.value());
                        }
                        Gradients result{kept_if(needed(0), g.value()), Tensor(), Tensor()};
                        if (!needed(1) && !needed(2)) return result;
                        const auto [of_gate, of_branch] =
                            gated_add_gradient(g.value(), gate.value(), branch.value(), index.value());
                        result[1] = kept_if(needed(1), of_gate);
                        result[2] = kept_if(needed(2), of_branch);
                        return result;
                      });
}

}  // namespace haze
