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
      [a_shape = a.shape(), b_shape = b.shape(), b_kept = kept_if(a.requires_gradient(), b),
       a_kept = kept_if(b.requires_gradient(), a), dtype = a.dtype()](const Variable& gradient) {
        Gradients gradients(2);
        const Variable g = cast(gradient, dtype);
        if (b_kept.defined()) gradients[0] = sum_to(matmul(g, transpose(b_kept)), a_shape);
        if (a_kept.defined()) gradients[1] = right_gradient(a_kept, g, b_shape);
        return gradients;
      });
}

Variable attention(const Variable& query, const Variable& key, const Variable& value,
                   AttentionOptions options, Generator* generator) {
  if (options.dropout > 0) {
    if (!generator) fail("attention: dropout {} needs a generator", options.dropout);
    options.dropout_position = generator->reserve(attention_dropout_counters(query.value(), key.value()));
  }
  const AttentionResult saved = attention(query.value(), key.value(), value.value(), options);
  // With p = softmax(s q k^T): v gets p^T g; the scores get p (g v^T - rowsum(g o)), o the output (Dao et al.
  // 2022, appendix B)
  return Tape::record(
      "attention", saved.output, {query, key, value},
      [saved, options, kept = KeptPosition(options.dropout_position), q = query.value(), k = key.value(),
       v = value.value(), q_needed = query.requires_gradient(), k_needed = key.requires_gradient(),
       v_needed = value.requires_gradient()](const Variable& g) {
        refuse_second_derivative("attention");
        kept.check_unchanged("attention");
        AttentionGradient d = attention_gradient(g.value(), q, k, v, saved, options);
        return Gradients{kept_if(q_needed, d.query), kept_if(k_needed, d.key), kept_if(v_needed, d.value)};
      });
}

CrossEntropy linear_cross_entropy(const Variable& hidden, const Variable& weight, const Variable& bias,
                                  const Tensor& targets, const Tensor& row_weights) {
  const Tensor weights = row_weights.defined() ? row_weights : ones(targets.shape(), hidden.dtype());
  CrossEntropyResult result = linear_cross_entropy(
      hidden.value(), weight.value(), bias.value(), targets,
      any_needs_gradient({&hidden, &weight, &bias}) ? weights : Tensor(), current_precision());
  Tensor total = sum(multiply(weights, result.losses));
  // d(sum_i w_i CE_i): the logits of row i get w_i (softmax - onehot); formed in the forward pass, where the
  // logits are at hand
  Variable recorded =
      Tape::record("linear_cross_entropy", std::move(total), {hidden, weight, bias},
                   [d_hidden = kept_if(hidden.requires_gradient(), result.hidden),
                    d_weight = kept_if(weight.requires_gradient(), result.weight),
                    d_bias = kept_if(bias.requires_gradient(), result.bias)](const Variable& g) {
                     refuse_second_derivative("linear_cross_entropy");
                     Gradients gradients;
                     for (const Tensor& d : {d_hidden, d_weight, d_bias}) {
                       gradients.push_back(d.defined() ? multiply(g.value(), d) : Tensor());
                     }
                     return gradients;
                   });
  return {std::move(recorded), std::move(result.losses)};
}

}  // namespace haze
