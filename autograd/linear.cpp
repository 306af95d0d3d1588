#include "haze/autograd/rules.h"
#include "haze/engine/activation.h"

// Linear layers, and two of them with an activation between.
namespace haze {
namespace {

/// activation'(p) g: in one pass where it will not be differentiated.
Variable through_activation(Activation activation, const Variable& p, const Variable& g) {
  switch (activation) {
    case Activation::none:
      return g;
    case Activation::relu:
      return masked(compare(CompareOp::greater, p.value(), zeros({}, p.dtype(), p.device())), g);
    case Activation::gelu:
      return binary(BinaryOp::gelu_gradient, p, g);
    case Activation::gelu_tanh:
      return binary(BinaryOp::gelu_tanh_gradient, p, g);
    case Activation::silu:
      return binary(BinaryOp::silu_gradient, p, g);
  }
  fail("linear: unknown activation");
}

void check_linear(const char* operation, const Variable& x, const Variable& weight,
                  const Variable& residual) {
  if (!x.defined() || !weight.defined()) fail("{}: x and weight must be defined", operation);
  if (weight.rank() != 2 || x.rank() < 1 || x.shape().back() != weight.size(1)) {
    fail("{}: x has shape {}, weight {}; it takes [..., in] and [out, in]", operation, x.shape().to_string(),
         weight.shape().to_string());
  }
  if (!residual.defined()) return;
  Shape expected = x.shape();
  expected[x.rank() - 1] = weight.size(0);
  if (!(residual.shape() == expected)) {
    fail("{}: residual has shape {}, the result {}", operation, residual.shape().to_string(),
         expected.to_string());
  }
}

/// For y = x W^T + b and the gradient g of y, both [rows, ...]: W, input 1, gets g^T x; b, input 2, the sum
/// of g's rows, which is taken on the way.
void parameter_gradients(const Tensor& g, const Tensor& x, Precision precision, Variable& weight,
                         Variable& bias) {
  if (!needed(1)) {
    if (needed(2)) bias = sum(g, {0});
    return;
  }
  MatmulOptions options{.precision = precision};
  if (needed(2)) options.row_sums = Tensor({g.size(1)}, g.dtype(), g.device());
  weight = matmul(transpose(g), x, options);
  if (needed(2)) bias = options.row_sums;
}

/// x as [rows, size of the last axis].
Variable rows_of(const Variable& x) {
  return x.rank() == 2 ? x : reshape(x, rows_shape(x.shape()));
}

/// One gradient for each of x, weight, bias and residual of x weight^T + bias + residual.
struct ProductRule {
  Saved x;       // where weight needs a gradient
  Saved weight;  // where x does
  Shape x_shape;
  Dtype dtype;  // of x and weight
  Precision precision;

  ProductRule(const Variable& x_in, const Variable& w)
      : x(saved_if(w.requires_gradient(), "x", x_in)),
        weight(saved_if(x_in.requires_gradient(), "weight", w)),
        x_shape(x_in.shape()),
        dtype(x_in.dtype()),
        precision(current_precision()) {}

  Gradients operator()(const Variable& gradient) const {
    Gradients gradients(4);
    if (needed(3)) gradients[3] = gradient;
    if (!needed(0) && !needed(1) && !needed(2)) return gradients;
    Variable g = rows_of(gradient);  // [rows, out]
    if (gradients_enabled() || dtype == Dtype::bfloat16) {
      if (needed(2)) gradients[2] = sum(g, {0});
      g = cast(g, dtype);
      if (needed(0)) gradients[0] = reshape(matmul(g, weight.variable()), x_shape);
      if (needed(1)) gradients[1] = matmul(transpose(g), rows_of(x.variable()));
      return gradients;
    }
    if (needed(0)) {
      gradients[0] = reshape(matmul(g.value(), weight.value(), {.precision = precision}), x_shape);
    }
    const Tensor x_rows = needed(1) ? reshape(x.value(), rows_shape(x_shape)) : Tensor();
    parameter_gradients(g.value(), x_rows, precision, gradients[1], gradients[2]);
    return gradients;
  }
};

/// One gradient for each of p and residual of activation(p) + residual.
struct ActivationRule {
  Saved pre_activation;  // p [rows, out]
  Activation activation;

  Gradients operator()(const Variable& g) const {
    Gradients gradients(2);
    if (needed(1)) gradients[1] = g;
    if (needed(0)) gradients[0] = through_activation(activation, pre_activation.variable(), rows_of(g));
    return gradients;
  }
};

/// One gradient for each of p, weight, bias and residual of activation(p) weight^T + bias + residual. p is by
/// far the largest tensor of a block: it is kept once, before the activation, and activated again.
struct ActivatedProductRule {
  Saved pre_activation;  // p [rows, inner]
  Saved weight;
  Activation activation;
  Precision precision;

  Gradients operator()(const Variable& gradient) const {
    Gradients gradients(4);
    if (needed(3)) gradients[3] = gradient;
    const Variable g = rows_of(gradient);
    return gradients_enabled() ? composed(g, std::move(gradients)) : fused(g.value(), std::move(gradients));
  }

 private:
  /// activation(p), of a Variable or a Tensor.
  template <typename X>
  X activated(const X& p) const {
    return activation == Activation::none ? p : unary(unary_of(activation), p);
  }

  Gradients composed(const Variable& g, Gradients gradients) const {
    if (needed(1)) gradients[1] = matmul(transpose(g), activated(pre_activation.variable()));
    if (needed(2)) gradients[2] = sum(g, {0});
    if (needed(0)) {
      gradients[0] = through_activation(activation, pre_activation.variable(), matmul(g, weight.variable()));
    }
    return gradients;
  }

  Gradients fused(const Tensor& g, Gradients gradients) const {
    // The activated p is a temporary: it is gone before the product below is made.
    parameter_gradients(g, needed(1) ? activated(pre_activation.value()) : Tensor(), precision, gradients[1],
                        gradients[2]);
    if (needed(0)) {
      gradients[0] =
          matmul(g, weight.value(),
                 {.activation = activation, .slope_at = pre_activation.value(), .precision = precision});
    }
    return gradients;
  }
};

/// Shape of x with another last axis.
Shape with_width(const Shape& shape, int64_t width) {
  Shape result = shape;
  result[shape.rank() - 1] = width;
  return result;
}

Tensor rows_or_undefined(const Variable& x) {
  return x.defined() ? reshape(x.value(), rows_shape(x.shape())) : Tensor();
}

/// p = x W^T + b, which one pass with what follows has computed, as an operation of its own; undefined where
/// it was not asked for because nothing needs its gradient.
Variable record_pre_activation(const char* operation, const Tensor& p, const Variable& x,
                               const Variable& weight, const Variable& bias) {
  // x gets g W, W gets g^T x, b the sum of the rows of g
  if (!p.defined()) return {};
  return Tape::record(operation, p, {x, weight, bias}, ProductRule(x, weight));
}

/// linear() of operands that have been checked; float32 where they are bfloat16.
Variable linear_product(const Variable& x, const Variable& weight, const Variable& bias,
                        Activation activation, const Variable& residual) {
  const Shape rows = rows_shape(x.shape());
  MatmulOptions options{.bias = bias.value(),
                        .activation = activation,
                        .residual = rows_or_undefined(residual),
                        .precision = current_precision()};
  if (activation != Activation::none && any_needs_gradient({&x, &weight, &bias})) {
    options.pre_activation = Tensor({rows[0], weight.size(0)}, wide_dtype(x.dtype()), x.device());
  }
  Tensor value = reshape(matmul(reshape(x.value(), rows), transpose(weight.value()), options),
                         with_width(x.shape(), weight.size(0)));

  // p = x W^T + b + r: x gets g W, W gets g^T x, b the sum of the rows of g, r gets g
  if (activation == Activation::none) {
    return Tape::record("linear", std::move(value), {x, weight, bias, residual}, ProductRule(x, weight));
  }
  // y = f(p) + r: p gets f'(p) g, r gets g
  const Variable p = record_pre_activation("linear", options.pre_activation, x, weight, bias);
  return Tape::record("linear", std::move(value), {p, residual},
                      ActivationRule{Saved("pre-activation", p), activation});
}

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation,
                const Variable& residual) {
  check_linear("linear", x, weight, residual);
  // Of bfloat16, the product with its epilogue is float32, and is rounded once.
  if (x.dtype() == Dtype::bfloat16) {
    return cast(linear_product(x, weight, widened(bias), activation, widened(residual)), x.dtype());
  }
  return linear_product(x, weight, bias, activation, residual);
}

Variable mlp(const Variable& x, const Variable& up_weight, const Variable& up_bias,
             const Variable& down_weight, const Variable& down_bias, Activation activation,
             const Variable& residual) {
  check_linear("mlp", x, up_weight, {});
  const Shape inner_shape = with_width(x.shape(), up_weight.size(0));
  if (down_weight.rank() != 2 || down_weight.size(1) != up_weight.size(0)) {
    fail("mlp: up_weight has shape {}, down_weight {}; it takes [inner, in] and [out, inner]",
         up_weight.shape().to_string(), down_weight.shape().to_string());
  }
  if (x.dtype() == Dtype::bfloat16) {
    return linear(linear(x, up_weight, up_bias, activation), down_weight, down_bias, Activation::none,
                  residual);
  }
  const bool recorded = any_needs_gradient({&x, &up_weight, &up_bias, &down_weight, &down_bias});
  MatmulOptions up{.bias = up_bias.value(), .activation = activation, .precision = current_precision()};
  if (recorded) up.pre_activation = Tensor(rows_shape(inner_shape), x.dtype(), x.device());
  const Tensor inner = matmul(rows_or_undefined(x), transpose(up_weight.value()), up);
  const MatmulOptions down{
      .bias = down_bias.value(), .residual = rows_or_undefined(residual), .precision = current_precision()};
  const Tensor product = matmul(inner, transpose(down_weight.value()), down);

  const Variable p = record_pre_activation("mlp", up.pre_activation, x, up_weight, up_bias);
  // y = f(p) V^T + c + r: p gets (g V) f'(p), V gets g^T f(p), c the sum of the rows of g, r gets g
  return Tape::record("mlp", reshape(product, with_width(x.shape(), down_weight.size(0))),
                      {p, down_weight, down_bias, residual},
                      ActivatedProductRule{Saved("pre-activation", p), Saved("down_weight", down_weight),
                                           activation, current_precision()});
}

}  // namespace haze
