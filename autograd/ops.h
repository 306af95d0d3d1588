#pragma once

#include "haze/autograd/variable.h"

/// The operations of engine/ops.h on Variables: the same names, arguments and errors, plus a gradient rule
/// each. Every gradient can be differentiated again. A gradient has the dtype of its value, but that of a
/// result of cast() to bfloat16 stays float32. Of bfloat16, matmul() gives float32; linear() and mlp() give
/// bfloat16, rounded once, and their bias and residual may be bfloat16 or float32.
namespace haze {

// ---- Views and copies ---------------------------------------------------------------------------
Variable reshape(const Variable& x, const Shape& shape);
Variable transpose(const Variable& x, int axis_a = -2, int axis_b = -1);
Variable permute(const Variable& x, const Shape& axes);
Variable slice(const Variable& x, int axis, int64_t first, int64_t last, int64_t step = 1);
Variable expand(const Variable& x, const Shape& shape);
Variable unsqueeze(const Variable& x, int axis);
Variable contiguous(const Variable& x);
Variable cast(const Variable& x, Dtype dtype);
Variable concat(const std::vector<Variable>& parts, int axis);
Variable pad(const Variable& x, int axis, int64_t before, int64_t after, double value = 0);

// ---- Element by element -------------------------------------------------------------------------
Variable unary(UnaryOp op, const Variable& x, double a = 0, double b = 0);
Variable binary(BinaryOp op, const Variable& x, const Variable& y);
Variable add(const Variable& x, const Variable& y);
Variable subtract(const Variable& x, const Variable& y);
Variable multiply(const Variable& x, const Variable& y);
Variable divide(const Variable& x, const Variable& y);
Variable scale_shift(const Variable& x, double scale, double shift);
Variable where(const Tensor& condition, const Variable& x, const Variable& y);
/// Draws from `generator`; x itself where probability is 0.
Variable dropout(const Variable& x, double probability, Generator& generator);

inline Variable operator+(const Variable& x, const Variable& y) {
  return add(x, y);
}
inline Variable operator-(const Variable& x, const Variable& y) {
  return subtract(x, y);
}
inline Variable operator*(const Variable& x, const Variable& y) {
  return multiply(x, y);
}
inline Variable operator/(const Variable& x, const Variable& y) {
  return divide(x, y);
}
inline Variable operator-(const Variable& x) {
  return scale_shift(x, -1, 0);
}
inline Variable operator+(const Variable& x, double c) {
  return scale_shift(x, 1, c);
}
inline Variable operator-(const Variable& x, double c) {
  return scale_shift(x, 1, -c);
}
inline Variable operator*(const Variable& x, double c) {
  return scale_shift(x, c, 0);
}
inline Variable operator*(double c, const Variable& x) {
  return scale_shift(x, c, 0);
}

inline Variable exp(const Variable& x) {
  return unary(UnaryOp::exp, x);
}
inline Variable log(const Variable& x) {
  return unary(UnaryOp::log, x);
}
/// The derivative at 0 is infinite, and a backward pass that multiplies it by 0 gives NaN. A norm that can be
/// 0, such as ||gradient|| in a penalty, takes an epsilon inside the root: sqrt(sum(square(x), {-1}) +
/// 1e-12).
inline Variable sqrt(const Variable& x) {
  return unary(UnaryOp::sqrt, x);
}
inline Variable square(const Variable& x) {
  return unary(UnaryOp::square, x);
}
inline Variable tanh(const Variable& x) {
  return unary(UnaryOp::tanh, x);
}
inline Variable sigmoid(const Variable& x) {
  return unary(UnaryOp::sigmoid, x);
}
inline Variable relu(const Variable& x) {
  return unary(UnaryOp::relu, x);
}
/// x where x > 0, otherwise slope x; slope >= 0. The gradient at 0 is slope.
inline Variable leaky_relu(const Variable& x, double slope = 0.2) {
  return unary(UnaryOp::leaky_relu, x, slope);
}
inline Variable gelu(const Variable& x) {
  return unary(UnaryOp::gelu, x);
}
inline Variable gelu_tanh(const Variable& x) {
  return unary(UnaryOp::gelu_tanh, x);
}
inline Variable silu(const Variable& x) {
  return unary(UnaryOp::silu, x);
}

// ---- Reductions and rows ------------------------------------------------------------------------
Variable reduce(ReduceOp op, const Variable& x, const Shape& axes = {}, bool keep_axes = false,
                double correction = 0);
Variable sum(const Variable& x, const Shape& axes = {}, bool keep_axes = false);
Variable mean(const Variable& x, const Shape& axes = {}, bool keep_axes = false);
Variable sum_to(const Variable& x, const Shape& shape);
Variable softmax(const Variable& x, int axis = -1);
Variable log_softmax(const Variable& x, int axis = -1);
Variable cumulative_sum(const Variable& x, int axis = -1);
/// Values in order on one axis, and their indices.
std::pair<Variable, Tensor> sort(const Variable& x, bool descending = false, int axis = -1);
std::pair<Variable, Tensor> top_k(const Variable& x, int64_t k, int axis = -1);

// ---- Matrix products ----------------------------------------------------------------------------
Variable matmul(const Variable& a, const Variable& b);
/// activation(x weight^T + bias) + residual: x [..., in], weight [out, in], bias [out] and residual [...,
/// out] may be undefined. One fused product forward; leaky_relu, which has a parameter, is applied to the
/// result.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {},
                Activation activation = Activation::none, const Variable& residual = {});
/// activation(x up_weight^T + up_bias) down_weight^T + down_bias + residual: x [..., in], up_weight
/// [inner, in], down_weight [out, inner]; biases and residual may be undefined. Two fused products forward.
Variable mlp(const Variable& x, const Variable& up_weight, const Variable& up_bias,
             const Variable& down_weight, const Variable& down_bias, Activation activation,
             const Variable& residual = {});
/// See engine/ops.h; `generator` is drawn from where options.dropout > 0. A gradient that is differentiated
/// again forms the probabilities of all pairs, [batch, heads, queries, keys].
Variable attention(const Variable& query, const Variable& key, const Variable& value,
                   AttentionOptions options, Generator* generator = nullptr);
/// Attention of rows to rows of the same sequence: qkv [rows, 3, heads, head_size] holds query, key and value
/// side by side, and its gradient is written in that layout at once. [rows, heads, head_size].
Variable self_attention(const Variable& qkv, AttentionOptions options, Generator* generator = nullptr);
/// sum_i row_weights_i CE_i as a scalar, and the losses themselves [rows] (no gradient). A gradient that is
/// differentiated again forms the logits whole, [rows, vocabulary].
struct CrossEntropy {
  Variable total;
  Tensor losses;
};
CrossEntropy linear_cross_entropy(const Variable& hidden, const Variable& weight, const Variable& bias,
                                  const Tensor& targets, const Tensor& row_weights,
                                  std::optional<int32_t> ignored = {});

/// The losses [last - first] of the rows `first` to last - 1, from their logits [last - first, vocabulary].
/// It gives the same losses whenever it is called with those rows, and draws no random numbers. The tape
/// keeps it, so it captures by value. It may use other values that need a gradient, such as a parameter: they
/// get theirs.
using RowLoss = std::function<Variable(const Variable& logits, int64_t first, int64_t last)>;
/// sum_i row_weights_i losses_i as a scalar, and the losses themselves [rows] (no gradient).
struct ProjectedLoss {
  Variable total;
  Tensor losses;
};
/// Any loss of the rows of logits hidden weight^T + bias, each for itself: hidden [rows, width], weight
/// [vocabulary, width], bias [vocabulary] or undefined, row_weights [rows], or undefined for ones. row_loss
/// is called for a few rows at a time, and its gradient is formed at once, so the logits are never whole in
/// memory. A gradient that is differentiated again calls it once for all rows, whose logits are then whole.
/// real. Throws Error where row_loss does not give one loss for each row.
ProjectedLoss projected_loss(const Variable& hidden, const Variable& weight, const Variable& bias,
                             const RowLoss& row_loss, const Tensor& row_weights = {});
/// The probabilities [last - first, vocabulary] of the rows `first` to last - 1; they may need a gradient.
using RowTargets = std::function<Variable(int64_t first, int64_t last)>;
/// Cross-entropy with soft targets q, by projected_loss: row i has the loss -sum_v q_iv log
/// softmax(logits)_iv in nats, where 0 log 0 is 0.
ProjectedLoss soft_cross_entropy(const Variable& hidden, const Variable& weight, const Variable& bias,
                                 const RowTargets& targets, const Tensor& row_weights = {});
/// Attention of rows to rows of a memory: query [rows, heads, head_size], key_value [memory's rows, 2, heads,
/// head_size] with key and value side by side, whose gradient is written in that layout at once. The options
/// say by query_offsets and key_offsets which rows see each other. [rows, heads, head_size].
Variable cross_attention(const Variable& query, const Variable& key_value, AttentionOptions options,
                         Generator* generator = nullptr);
/// See engine/ops.h; the tables are constants.
Variable rotary(const Variable& x, const Tensor& cosine, const Tensor& sine, const Tensor& positions,
                int64_t turned, bool inverse = false);

// ---- Norms --------------------------------------------------------------------------------------
/// weight and bias may be undefined.
Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double epsilon,
                    int axis = -1);
/// weight may be undefined.
Variable rms_norm(const Variable& x, const Variable& weight, double epsilon, int axis = -1);
Variable adaptive_layer_norm(const Variable& x, const Variable& scale, const Variable& shift,
                             const Tensor& index, double epsilon);
Variable gated_add(const Variable& x, const Variable& gate, const Variable& branch, const Tensor& index);
/// weight and bias may be undefined.
Variable group_norm(const Variable& x, const Variable& weight, const Variable& bias, int64_t groups,
                    double epsilon);

// ---- Indexing -----------------------------------------------------------------------------------
Variable embedding(const Variable& weight, const Tensor& ids);
Variable index_select(const Variable& x, int axis, const Tensor& indices);
/// zeros of `shape` with source added at `indices` of `axis`: the adjoint of index_select.
Variable index_scatter(const Variable& source, int axis, const Tensor& indices, const Shape& shape);
Variable gather(const Variable& x, int axis, const Tensor& index);
Variable scatter_add(const Variable& x, int axis, const Tensor& index, const Variable& source);
/// Overwritten elements have no gradient: those of x, and all of source but the last for a position.
Variable scatter(const Variable& x, int axis, const Tensor& index, const Variable& source);

// ---- Images -------------------------------------------------------------------------------------
Variable unfold(const Variable& x, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding);
Variable fold(const Variable& columns, int64_t height, int64_t width, int64_t kernel_h, int64_t kernel_w,
              int64_t stride, int64_t padding);
Variable average_pool(const Variable& x, int64_t size);
Variable max_pool(const Variable& x, int64_t size);
Variable upsample(const Variable& x, int64_t size);

// ---- Convolution --------------------------------------------------------------------------------
/// bias may be undefined.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const ConvolutionOptions& options = {});
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, int64_t stride,
                int64_t padding);
Variable conv2d_gradient_x(const Variable& g, const Variable& weight, int64_t height, int64_t width,
                           const ConvolutionOptions& options = {});
Variable conv2d_gradient_weight(const Variable& g, const Variable& x, int64_t kernel_h, int64_t kernel_w,
                                const ConvolutionOptions& options = {});
/// bias may be undefined.
Variable conv_transpose2d(const Variable& x, const Variable& weight, const Variable& bias,
                          const ConvolutionOptions& options = {}, int64_t output_padding_h = 0,
                          int64_t output_padding_w = 0);

}  // namespace haze
