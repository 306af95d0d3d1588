#include "haze/autograd/rules.h"
#include "haze/engine/activation.h"

// Linear layers, and two of them with an activation between.
namespace haze {
namespace {

/// activation'(pre_activation) g.
Tensor through_activation(Activation activation, const Tensor& pre_activation, const Tensor& g) {
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

/// Which of a layer's parameters need a gradient.
struct ParametersNeeded {
  bool weight, bias;

  ParametersNeeded(const Variable& w, const Variable& b)
      : weight(w.requires_gradient()), bias(b.requires_gradient()) {}
};

/// For y = x W^T + b and the gradient g of y, both [rows, ...]: W gets g^T x, b the sum of g's rows, which is
/// taken on the way.
void parameter_gradients(const Tensor& g, const Tensor& x, ParametersNeeded needed, Precision precision,
                         Variable& weight, Variable& bias) {
  if (!needed.weight) {
    if (needed.bias) bias = sum(g, {0});
    return;
  }
  MatmulOptions options{.precision = precision};
  if (needed.bias) options.row_sums = Tensor({g.size(1)}, g.dtype());
  weight = matmul(transpose(g), x, options);
  if (needed.bias) bias = options.row_sums;
}

/// One gradient for each of x, weight, bias and residual of linear().
struct LinearRule {
  Variable x;       // kept where weight needs a gradient
  Variable weight;  // kept where x does
  Tensor pre_activation;
  Shape x_shape;
  Dtype dtype;  // of x and weight
  Activation activation;
  ParametersNeeded needed;
  bool residual_needed;
  Precision precision;

  Gradients operator()(const Variable& g) const {
    Gradients gradients(4);
    if (residual_needed) gradients[3] = g;
    if (!weight.defined() && !needed.weight && !needed.bias) return gradients;
    Variable g_rows = reshape(g, rows_shape(g.shape()));  // [rows, out]
    if (gradients_enabled() || dtype == Dtype::bfloat16) {
      if (activation != Activation::none) {
        refuse_second_derivative("linear with an activation");
        g_rows = through_activation(activation, pre_activation, g_rows.value());
      }
      if (needed.bias) gradients[2] = sum(g_rows, {0});
      g_rows = cast(g_rows, dtype);
      if (weight.defined()) gradients[0] = reshape(matmul(g_rows, weight), x_shape);
      if (needed.weight) gradients[1] = matmul(transpose(g_rows), reshape(x, rows_shape(x_shape)));
      return gradients;
    }
    const Tensor g_pre = through_activation(activation, pre_activation, g_rows.value());
    if (weight.defined()) {
      gradients[0] = reshape(matmul(g_pre, weight.value(), {.precision = precision}), x_shape);
    }
    const Tensor x_rows = needed.weight ? reshape(x.value(), rows_shape(x_shape)) : Tensor();
    parameter_gradients(g_pre, x_rows, needed, precision, gradients[1], gradients[2]);
    return gradients;
  }
};

Tensor activated(Activation activation, const Tensor& pre_activation) {
  return activation == Activation::none ? pre_activation : unary(unary_of(activation), pre_activation);
}

/// One gradient for each of x, up's weight and bias, down's, and residual of mlp(). What lies between the two
/// products is by far the largest tensor of a block: it is kept once, before the activation, and activated
/// again.
struct MlpRule {
  Tensor x, up_weight, pre_activation, down_weight;  // x [rows, in], pre_activation [rows, inner]
  Shape x_shape;
  Activation activation;
  ParametersNeeded up_needed, down_needed;
  bool x_needed, residual_needed;
  Precision precision;

  Gradients operator()(const Variable& gradient) const {
    refuse_second_derivative("mlp");
    Gradients gradients(6);
    if (residual_needed) gradients[5] = gradient;
    const Tensor g = reshape(gradient.value(), rows_shape(gradient.shape()));
    parameter_gradients(g, down_needed.weight ? activated(activation, pre_activation) : Tensor(), down_needed,
                        precision, gradients[3], gradients[4]);
    if (!x_needed && !up_needed.weight && !up_needed.bias) return gradients;
    const Tensor g_pre = matmul(
        g, down_weight, {.activation = activation, .slope_at = pre_activation, .precision = precision});
    parameter_gradients(g_pre, x, up_needed, precision, gradients[1], gradients[2]);
    if (x_needed) gradients[0] = reshape(matmul(g_pre, up_weight, {.precision = precision}), x_shape);
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

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation,
                const Variable& residual) {
  check_linear("linear", x, weight, residual);
  const Shape rows = rows_shape(x.shape());
  MatmulOptions options{.bias = bias.value(),
                        .activation = activation,
                        .residual = rows_or_undefined(residual),
                        .precision = current_precision()};
  if (activation != Activation::none && any_needs_gradient({&x, &weight, &bias})) {
    options.pre_activation = Tensor({rows[0], weight.size(0)}, wide_dtype(x.dtype()));
  }
  const Tensor product = matmul(reshape(x.value(), rows), transpose(weight.value()), options);

  // y = f(p) + r, p = x W^T + b: with g_p = f'(p) g, x gets g_p W, W gets g_p^T x, b the sum of the rows of
  // g_p, and r gets g
  return Tape::record(
      "linear", reshape(product, with_width(x.shape(), weight.size(0))), {x, weight, bias, residual},
      LinearRule{kept_if(weight.requires_gradient(), x), kept_if(x.requires_gradient(), weight),
                 options.pre_activation, x.shape(), x.dtype(), activation, ParametersNeeded(weight, bias),
                 residual.requires_gradient(), options.precision});
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
  const bool recorded = any_needs_gradient({&x, &up_weight, &up_bias, &down_weight, &down_bias});
  const Tensor x_rows = rows_or_undefined(x);
  MatmulOptions up{.bias = up_bias.value(), .activation = activation, .precision = current_precision()};
  if (recorded) up.pre_activation = Tensor(rows_shape(inner_shape), x.dtype());
  const Tensor inner = matmul(x_rows, transpose(up_weight.value()), up);
  const MatmulOptions down{
      .bias = down_bias.value(), .residual = rows_or_undefined(residual), .precision = current_precision()};
  const Tensor product = matmul(inner, transpose(down_weight.value()), down);

  // y = h V^T + c + r, h = f(p), p = x W^T + b: V gets g^T h, c the sum of g's rows; with g_p = (g V) f'(p),
  // W gets g_p^T x, b the sum of g_p's rows, x gets g_p W; r gets g
  return Tape::record("mlp", reshape(product, with_width(x.shape(), down_weight.size(0))),
                      {x, up_weight, up_bias, down_weight, down_bias, residual},
                      MlpRule{kept_if(up_weight.requires_gradient(), x_rows), up_weight.value(),
                              up.pre_activation, down_weight.value(), x.shape(), activation,
                              ParametersNeeded(up_weight, up_bias), ParametersNeeded(down_weight, down_bias),
                              x.requires_gradient(), residual.requires_gradient(), down.precision});
}

}  // namespace haze
