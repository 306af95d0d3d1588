#include "haze/nn/heads.h"

#include <cmath>
#include <limits>

namespace haze {
namespace {

std::unique_ptr<Linear> first_layer(VectorLayers layers, int64_t hidden, Generator& generator) {
  return layers == VectorLayers::linear ? nullptr : std::make_unique<Linear>(hidden, hidden, generator);
}

}  // namespace

TokenHead::TokenHead(int64_t hidden, int64_t vocabulary, Generator& generator,
                     const TokenHeadOptions& options)
    : vocabulary_(vocabulary), weight_(&own_weight_) {
  if (hidden < 1 || vocabulary < 1) fail("TokenHead: {} -> {} is not a layer", hidden, vocabulary);
  const double bound = 1 / std::sqrt(static_cast<double>(hidden));
  const Shape shape{vocabulary, hidden};
  add_parameter("weight", own_weight_,
                options.zero ? zeros(shape) : uniform(shape, generator, -bound, bound));
  add_rest(hidden, generator, options);
}

TokenHead::TokenHead(Embedding& tied, int64_t vocabulary, Generator& generator,
                     const TokenHeadOptions& options)
    : vocabulary_(vocabulary), weight_(&tied.weight()) {
  const int64_t rows = weight_->size(0);
  if (vocabulary < 1 || vocabulary > rows)
    fail("TokenHead: {} tokens cannot be tied to an embedding of {}", vocabulary, rows);
  if (options.zero) fail("TokenHead: a weight that is tied to an embedding cannot start as zero");
  tie_parameter("weight", tied.weight());
  add_rest(weight_->size(1), generator, options);
}

void TokenHead::add_rest(int64_t hidden, Generator& generator, const TokenHeadOptions& options) {
  if (options.bias) add_parameter("bias", bias_, zeros({vocabulary_}));
  if (const auto token = options.impossible) {
    if (*token < 0 || *token >= vocabulary_)
      fail("TokenHead: the impossible token {} is none of {}", *token, vocabulary_);
    impossible_ = zeros({vocabulary_});
    fill(slice(impossible_, 0, *token, *token + 1), -std::numeric_limits<double>::infinity());
    add_constant(impossible_);
  }
  if (!options.transform) return;
  activation_ = *options.transform;
  transform_ = std::make_unique<Linear>(hidden, hidden, generator);
  transform_norm_ = std::make_unique<LayerNorm>(hidden, options.norm_epsilon);
  add_module("transform", *transform_);
  add_module("transform_norm", *transform_norm_);
}

Variable TokenHead::transformed(const Variable& hidden) const {
  return transform_ ? transform_norm_->forward(transform_->forward(hidden, activation_)) : hidden;
}

Variable TokenHead::weight() const {
  return weight_->size(0) == vocabulary_ ? *weight_ : slice(*weight_, 0, 0, vocabulary_);
}

Variable TokenHead::bias() const {
  if (!impossible_.defined()) return bias_;
  const Variable offset(cast(impossible_, weight_->dtype()));
  return bias_.defined() ? bias_ + offset : offset;
}

Variable TokenHead::logits(const Variable& hidden) const {
  return linear(transformed(hidden), weight(), bias());
}

CrossEntropy TokenHead::cross_entropy(const Variable& hidden, const Tensor& targets,
                                      const Tensor& row_weights, std::optional<int32_t> ignored) const {
  const Variable h = transformed(hidden);
  return linear_cross_entropy(h, weight(), bias(), targets, cast(row_weights, h.dtype()), ignored);
}

ProjectedLoss TokenHead::loss(const Variable& hidden, const RowLoss& row_loss,
                              const Tensor& row_weights) const {
  const Variable h = transformed(hidden);
  return projected_loss(h, weight(), bias(), row_loss,
                        row_weights.defined() ? cast(row_weights, h.dtype()) : row_weights);
}

VectorHead::VectorHead(int64_t hidden, int64_t vector_width, Generator& generator, VectorLayers layers,
                       bool zero)
    : first_(first_layer(layers, hidden, generator)),
      last_(hidden, vector_width, generator, true, zero ? 0 : 1) {
  if (first_) add_module("first", *first_);
  add_module("last", last_);
}

Variable VectorHead::forward(const Variable& x) const {
  return last_.forward(first_ ? tanh(first_->forward(x)) : x);
}

}  // namespace haze
