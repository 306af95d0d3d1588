#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>

#include "haze/engine/ops.h"

#include "engine/op_table/array.h"

/// Every operation of ops.h on Arrays, by the definition. Arguments are as in ops.h, whose enumerations and
/// option structures it shares; an Array without values stands for an argument left out.
namespace haze::reference {

/// A number and how many units the engine may be off (see Array).
struct Number {
  double value, error;
};

// Element by element.
Number unary(UnaryOp op, double x, double a, double b);
Number binary(BinaryOp op, double x, double y);
Number activation(Activation activation, double x);
bool compare(CompareOp op, double x, double y);
Array map(const Array& x, const std::function<Number(double)>& f);
/// Broadcasts.
Array zip(const Array& x, const Array& y, const std::function<Number(double, double)>& f);
Array where(const Array& condition, const Array& x, const Array& y);
Array expand(const Array& x, const Shape& shape);

// Views.
/// The array of `shape` whose element at an index is that of x at `source(index)`.
Array rearrange(const Array& x, const Shape& shape, const std::function<Shape(const Shape&)>& source);
Array permute(const Array& x, const Shape& axes);
Array slice(const Array& x, int axis, int64_t first, int64_t last, int64_t step = 1);

// Random numbers.
/// Word `index` of the stream of 32-bit words at a position (Salmon et al. 2011).
uint32_t random_word(RandomPosition position, uint64_t index);
Array uniform(const Shape& shape, RandomPosition position, double low, double high, bool wide);
Array normal(const Shape& shape, RandomPosition position, double mean, double deviation, bool wide);
Array random_integers(const Shape& shape, RandomPosition position, int64_t low, int64_t high);
Array bernoulli(const Array& probability, RandomPosition position);
Array poisson(const Array& rate, RandomPosition position);
Array dropout(const Array& x, double probability, RandomPosition position);
Array categorical(const Array& log_probabilities, RandomPosition position);
Array categorical(const Array& log_probabilities, const Array& uniforms);

// Reductions.
Array reduce(ReduceOp op, const Array& x, const Shape& axes, bool keep_axes, double correction);
Array argmax(const Array& x, int axis);
Array sum_to(const Array& x, const Shape& shape);
Array softmax(const Array& x, bool log);
Array softmax_gradient(const Array& y, const Array& g, bool log);
Array cumulative_sum(const Array& x, int axis);
/// The first `count` of the last axis in order, and their indices.
std::array<Array, 2> sorted(const Array& x, bool descending, int64_t count);

// Norms: of x [..., columns].
struct Norm {
  Array output, mean, rstd;
};
struct NormGradients {
  Array x, weight, bias;
};
Norm layer_norm(const Array& x, const Array& weight, const Array& bias, double epsilon);
Norm rms_norm(const Array& x, const Array& weight, double epsilon);
NormGradients layer_norm_gradient(const Array& g, const Array& x, const Array& weight, double epsilon);
NormGradients rms_norm_gradient(const Array& g, const Array& x, const Array& weight, double epsilon);
/// Of x [batch, channels, ...].
Norm group_norm(const Array& x, const Array& weight, const Array& bias, int64_t groups, double epsilon);
NormGradients group_norm_gradient(const Array& g, const Array& x, const Array& weight, int64_t groups,
                                  double epsilon);

// Matrix product.
struct Product {
  Array output, pre_activation;
};
Product matmul(const Array& a, const Array& b, const Array& bias = {},
               Activation activation = Activation::none, const Array& residual = {});

// Attention.
struct AttentionMask {
  bool causal = false;
  std::vector<int64_t> key_lengths = {};
  std::vector<int64_t> query_offsets = {}, key_offsets = {};
  std::vector<int64_t> causal_offsets = {};
  Array block_mask = {};
  int64_t block_size = 0;
  Array pair_mask = {};
  bool adds_pair_mask = false;
  double dropout = 0;
  RandomPosition position = {};
  double scale = 0;
};
struct AttentionOutput {
  Array output, row_max, row_sum;
};
struct AttentionGradients {
  Array query, key, value;
};
AttentionOutput attention(const Array& query, const Array& key, const Array& value,
                          const AttentionMask& mask);
/// `output_units`: how many units of itself the output of the forward pass, from which the gradient is
/// computed, has been rounded by.
AttentionGradients attention_gradient(const Array& g, const Array& query, const Array& key,
                                      const Array& value, const AttentionMask& mask, double output_units = 0);

// Indexing.
Array index_select(const Array& x, int axis, const Array& indices);
Array index_add(const Array& target, int axis, const Array& indices, const Array& source);
Array gather(const Array& x, int axis, const Array& index);
Array scatter_add(const Array& x, int axis, const Array& index, const Array& source);

// Images.
struct Window {
  int64_t height, width, stride, padding;
};
Array unfold(const Array& x, const Window& window);
Array fold(const Array& columns, int64_t height, int64_t width, const Window& window);
Array average_pool(const Array& x, int64_t size);
std::array<Array, 2> max_pool(const Array& x, int64_t size);
Array upsample(const Array& x, int64_t size);

// Convolution. With a bias, gradient_x is conv_transpose2d.
Array conv2d(const Array& x, const Array& weight, const Array& bias, const ConvolutionOptions& options);
Array conv2d_gradient_x(const Array& g, const Array& weight, const Array& bias, int64_t height, int64_t width,
                        const ConvolutionOptions& options);
Array conv2d_gradient_weight(const Array& g, const Array& x, int64_t kernel_h, int64_t kernel_w,
                             const ConvolutionOptions& options);

// Training.
struct CrossEntropy {
  Array losses, hidden, weight, bias;
};
CrossEntropy linear_cross_entropy(const Array& hidden, const Array& weight, const Array& bias,
                                  const Array& targets, const Array& row_weights,
                                  std::optional<int32_t> ignored = {});
/// Parameter, first and second moment after a step.
std::array<Array, 3> adamw_step(const Array& parameter, const Array& gradient, const Array& first_moment,
                                const Array& second_moment, const AdamWOptions& options, bool decay);

}  // namespace haze::reference
