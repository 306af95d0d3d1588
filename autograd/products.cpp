#include "haze/autograd/rules.h"

// Matrix products and what is fused around them.
namespace haze {
namespace {

/// Whether something downstream may ask for the gradient of one of `inputs`.
bool needed(std::initializer_list<const Variable*> inputs) {
  if (!gradients_enabled()) return false;
  for (const Variable* input : inputs) {
    if (input->requires_gradient()) return true;
  }
  return false;
}

/// a^T g, summed over the leading axes that b of a b did not have.
Variable right_gradient(const Variable& a, const Variable& g, const Shape& b_shape) {
  if (b_shape.rank() == 2 && a.rank() > 2) {  // one product of all rows sums on its way
    return matmul(transpose(reshape(a, rows_shape(a.shape()))), reshape(g, rows_shape(g.shape())));
  }
  return sum_to(matmul(transpose(a), g), b_shape);
}

Tensor activation_gradient(Activation activation, const Tensor& pre_activation, const Tensor& g) {
  switch (activation) {
    case Activation::none:
      return g;
    case Activation::relu: {
      const Tensor zero = zeros({}, g.dtype());
      return where(compare(CompareOp::greater, pre_activation, zero), g, zero);
    }
    case Activation::gelu:
      return binary(BinaryOp::gelu_gradient, pre_activation, g);
    case Activation::gelu_tanh:
      return binary(BinaryOp::gelu_tanh_gradient, pre_activation, g);
    case Activation::silu:
      return binary(BinaryOp::silu_gradient, pre_activation, g);
  }
  fail("linear: unknown activation");
}

void check_linear(const Variable& x, const Variable& weight, const Variable& residual) {
  if (!x.defined() || !weight.defined()) fail("linear: x and weight must be defined");
  if (weight.rank() != 2 || x.rank() < 1 || x.shape().back() != weight.size(1)) {
    fail("linear: x has shape {}, weight {}; it takes [..., in] and [out, in]", x.shape().to_string(),
         weight.shape().to_string());
  }
  if (!residual.defined()) return;
  Shape expected = x.shape();
  expected[x.rank() - 1] = weight.size(0);
  if (!(residual.shape() == expected)) {
    fail("linear: residual has shape {}, the result {}", residual.shape().to_string(), expected.to_string());
  }
}

/// One gradient for each of x, weight, bias and residual of linear().
struct LinearRule {
  Variable x;       // kept where weight needs a gradient
  Variable weight;  // kept where x does
  Tensor pre_activation;
  Shape x_shape;
  Dtype dtype;  // of x and weight
  Activation activation;
  bool bias_needed, residual_needed;

  Gradients operator()(const Variable& g) const {
    Gradients gradients(4);
    if (residual_needed) gradients[3] = g;
    if (!weight.defined() && !x.defined() && !bias_needed) return gradients;
    Variable g_pre = reshape(g, rows_shape(g.shape()));  // [rows, out]
    if (activation != Activation::none) {
      refuse_second_derivative("linear with an activation");
      g_pre = activation_gradient(activation, pre_activation, g_pre.value());
    }
    const Variable factor = cast(g_pre, dtype);
    if (weight.defined()) gradients[0] = reshape(matmul(factor, weight), x_shape);
    if (x.defined()) gradients[1] = matmul(transpose(factor), reshape(x, rows_shape(x_shape)));
    if (bias_needed) gradients[2] = sum(g_pre, {0});
    return gradients;
  }
};

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

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation,
                const Variable& residual) {
  check_linear(x, weight, residual);
  const Shape rows = rows_shape(x.shape());
  Shape shape = x.shape();
  shape[x.rank() - 1] = weight.size(0);

  Epilogue epilogue;
  epilogue.bias = bias.value();
  epilogue.activation = activation;
  if (residual.defined()) epilogue.residual = reshape(residual.value(), {rows[0], weight.size(0)});
  if (activation != Activation::none && needed({&x, &weight, &bias})) {
    epilogue.pre_activation = Tensor({rows[0], weight.size(0)}, wide_dtype(x.dtype()));
  }
  const Tensor product = matmul(reshape(x.value(), rows), transpose(weight.value()), epilogue);

  // y = f(p) + r, p = x W^T + b: with g_p = f'(p) g, x gets g_p W, W gets g_p^T x, b the sum of the rows of
  // g_p, and r gets g
  return Tape::record(
      "linear", reshape(product, shape), {x, weight, bias, residual},
      LinearRule{kept_if(weight.requires_gradient(), x), kept_if(x.requires_gradient(), weight),
                 epilogue.pre_activation, x.shape(), x.dtype(), activation, bias.requires_gradient(),
                 residual.requires_gradient()});
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
      [saved, options, q = query.value(), k = key.value(), v = value.value(),
       q_needed = query.requires_gradient(), k_needed = key.requires_gradient(),
       v_needed = value.requires_gradient()](const Variable& g) {
        refuse_second_derivative("attention");
        AttentionGradient d = attention_gradient(g.value(), q, k, v, saved, options);
        return Gradients{kept_if(q_needed, d.query), kept_if(k_needed, d.key), kept_if(v_needed, d.value)};
      });
}

CrossEntropy linear_cross_entropy(const Variable& hidden, const Variable& weight, const Variable& bias,
                                  const Tensor& targets, const Tensor& row_weights) {
  const Tensor weights = row_weights.defined() ? row_weights : ones(targets.shape(), hidden.dtype());
  CrossEntropyResult result = linear_cross_entropy(hidden.value(), weight.value(), bias.value(), targets,
                                                   needed({&hidden, &weight, &bias}) ? weights : Tensor());
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
