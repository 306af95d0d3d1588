#include <array>

#include "haze/autograd/attention_composition.h"
#include "haze/autograd/rules.h"

// Matrix products and what is fused around them.
namespace haze {
namespace {

/// a^T g, summed over the leading axes that b of a b did not have.
Variable right_gradient(const Variable& a, const Variable& g, const Shape& b_shape) {
  if (b_shape.rank() == 2 && a.rank() > 2) {  // one product of all rows sums on its way
    return matmul(transpose(reshape(a, rows_shape(a.shape()))), reshape(g, rows_shape(g.shape())));
  }
  return sum_to(matmul(transpose(a), g), b_shape);
}

}  // namespace

Variable matmul(const Variable& a, const Variable& b) {
  // d(a b) = da b + a db: a gets g b^T, b gets a^T g. Where a and b are bfloat16, so is g in these products,
  // and what they give is float32.
  return Tape::record(
      "matmul", matmul(a.value(), b.value()), {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), b = saved_if(a.requires_gradient(), "b", b),
       a = saved_if(b.requires_gradient(), "a", a), dtype = a.dtype()](const Variable& gradient) {
        Gradients gradients(2);
        const Variable g = cast(gradient, dtype);
        if (needed(0)) gradients[0] = sum_to(matmul(g, transpose(b.variable())), a_shape);
        if (needed(1)) gradients[1] = right_gradient(a.variable(), g, b_shape);
        return gradients;
      });
}

Variable attention(const Variable& query, const Variable& key, const Variable& value,
                   AttentionOptions options, Generator* generator) {
  if (options.dropout > 0) {
    if (!generator) fail("attention: dropout {} needs a generator", options.dropout);
    options.dropout_position = generator->reserve(attention_dropout_counters(query.value(), key.value()));
  }
  AttentionResult saved = attention(query.value(), key.value(), value.value(), options);
  Tensor result = std::exchange(saved.output, Tensor());
  // With p = softmax(s q k^T): v gets p^T g; the scores get p (g v^T - rowsum(g o)), o the output (Dao et al.
  // 2022, appendix B)
  return Tape::record(
      "attention", std::move(result), {query, key, value},
      [saved, options = SavedAttentionOptions(options), q = Saved("query", query), k = Saved("key", key),
       v = Saved("value", value)](const Variable& g, const Variable& output) {
        if (gradients_enabled()) {
          return attention_composition(g, q.variable(), k.variable(), v.variable(), options.read(),
                                       {needed(0), needed(1), needed(2)});
        }
        AttentionResult forward = saved;
        forward.output = output.value();
        AttentionGradient d =
            attention_gradient(g.value(), q.value(), k.value(), v.value(), forward, options.read());
        return Gradients{kept_if(needed(0), d.query), kept_if(needed(1), d.key), kept_if(needed(2), d.value)};
      });
}

namespace {

/// The rule of linear_cross_entropy out of operations that can be differentiated: the logits are whole.
struct CrossEntropyComposition {
  Saved hidden, weight, bias, targets, row_weights;

  Gradients operator()(const Variable& g) const {
    const Variable& h = hidden.variable();
    const Variable& w = weight.variable();
    const Variable p = softmax(linear(h, w, bias.variable()));  // [rows, vocabulary]
    const Tensor vocabulary = arange(w.size(0), Dtype::int32, w.device());
    const Tensor onehot =
        cast(compare(CompareOp::equal, unsqueeze(targets.value(), 1), vocabulary), h.dtype());
    const Variable d = (p - onehot) * (g * unsqueeze(row_weights.value(), 1));
    return {needed(0) ? matmul(d, w) : Variable(), needed(1) ? matmul(transpose(d), h) : Variable(),
            needed(2) ? sum(d, {0}) : Variable()};
  }
};

}  // namespace

CrossEntropy linear_cross_entropy(const Variable& hidden, const Variable& weight, const Variable& bias,
                                  const Tensor& targets, const Tensor& row_weights) {
  const Tensor weights =
      row_weights.defined() ? row_weights : ones(targets.shape(), hidden.dtype(), hidden.device());
  CrossEntropyResult result = linear_cross_entropy(
      hidden.value(), weight.value(), bias.value(), targets,
      any_needs_gradient({&hidden, &weight, &bias}) ? weights : Tensor(), current_precision());
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
                       if (needed(i)) gradients[i] = multiply(g.value(), formed[i]);
                     }
                     return gradients;
                   });
  return {std::move(recorded), std::move(result.losses)};
}

}  // namespace haze
