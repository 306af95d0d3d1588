#include <array>

#include "haze/autograd/rules.h"

namespace haze {
namespace {

/// The rule of linear_cross_entropy out of operations that can be differentiated: the logits are whole.
struct CrossEntropyComposition {
  Saved hidden, weight, bias, targets, row_weights;

  Gradients operator()(const Variable& g) const {
    const Variable h = widened(hidden.variable()), w = widened(weight.variable());
    const Variable p = softmax(linear(h, w, widened(bias.variable())));  // [rows, vocabulary]
    const Tensor vocabulary = arange(w.size(0), Dtype::int32, w.device());
    const Tensor onehot =
        cast(compare(CompareOp::equal, unsqueeze(targets.value(), 1), vocabulary), h.dtype());
    const Variable d = (p - onehot) * (g * unsqueeze(row_weights.value(), 1));
    return {needed(0) ? matmul(d, w) : Variable(), needed(1) ? matmul(transpose(d), h) : Variable(),
            needed(2) ? sum(d, {0}) : Variable()};
  }
};

/// row_weights, and 0 at the rows that do not count.
Tensor without_ignored(const Tensor& row_weights, const Tensor& targets, int32_t ignored) {
  const Tensor counts =
      compare(CompareOp::not_equal, targets, full({}, ignored, Dtype::int32, targets.device()));
  return where(counts, row_weights, zeros({}, row_weights.dtype(), row_weights.device()));
}

}  // namespace

CrossEntropy linear_cross_entropy(const Variable& hidden, const Variable& weight, const Variable& bias,
                                  const Tensor& targets, const Tensor& row_weights,
                                  std::optional<int32_t> ignored) {
  const Tensor given = row_weights.defined()
                           ? row_weights
                           : ones(targets.shape(), wide_dtype(hidden.dtype()), hidden.device());
  const Tensor weights = ignored ? without_ignored(given, targets, *ignored) : given;
  CrossEntropyResult result = linear_cross_entropy(
      hidden.value(), weight.value(), bias.value(), targets,
      any_needs_gradient({&hidden, &weight, &bias}) ? weights : Tensor(), current_precision(), ignored);
  Tensor total = sum(multiply(weights, result.losses));
  // d(sum_i w_i CE_i): the logits of row i get w_i (softmax - onehot); formed in the forward pass, where the
  // logits are at hand
  Variable recorded =
      Tape::record("linear_cross_entropy", std::move(total), {hidden, weight, bias},
                   [formed = std::array{kept_if(hidden.requires_gradient(), result.hidden),
                                        kept_if(weight.requires_gradient(), result.weight),
                                        kept_if(bias.requires_gradient(), result.bias)},
                    composition = CrossEntropyComposition{Saved("hidden", hidden), Saved("weight", weight),
                                                          Saved("bias", bias), Saved("targets", targets),
                                                          Saved("row_weights", weights)}](const Variable& g) {
                     if (gradients_enabled()) return composition(g);
                     Gradients gradients(3);
                     for (size_t i = 0; i < 3; ++i) {
                       if (needed(i)) gradients[i] = g * widened(Variable(formed[i]));
                     }
                     return gradients;
                   });
  return {std::move(recorded), std::move(result.losses)};
}

}  // namespace haze
