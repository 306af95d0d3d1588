#include "haze/nn/inputs.h"

namespace haze {
namespace {

int64_t checked_vocabulary(int64_t vocabulary, int64_t width, int64_t token_types) {
  if (vocabulary < 1 || width < 1 || token_types < 0) {
    fail("TokenInput: vocabulary {} and width {} must be positive, token_types {} not negative", vocabulary,
         width, token_types);
  }
  return vocabulary;
}

}  // namespace

TokenInput::TokenInput(int64_t vocabulary, int64_t width, Generator& generator, int64_t token_types)
    : token_embedding_(checked_vocabulary(vocabulary, width, token_types), width, generator) {
  add_module("token_embedding", token_embedding_);
  if (token_types > 0) {
    type_embedding_ = std::make_unique<Embedding>(token_types, width, generator);
    add_module("type_embedding", *type_embedding_);
  }
}

Variable TokenInput::forward(const Tensor& ids, const Tensor& types) const {
  if (types.defined() && !type_embedding_) fail("TokenInput: it has no token types, but some are given");
  if (!types.defined() && type_embedding_) fail("TokenInput: it needs the type of each token");
  const Variable x = token_embedding_.forward(ids);
  if (!types.defined()) return x;
  if (!(types.shape() == ids.shape())) {
    fail("TokenInput: types have shape {}, ids {}", types.shape().to_string(), ids.shape().to_string());
  }
  return x + type_embedding_->forward(types);
}

VectorInput::VectorInput(int64_t vector_width, int64_t width, Generator& generator, VectorLayers layers)
    : first_(vector_width, width, generator) {
  add_module("first", first_);
  if (layers == VectorLayers::linear_tanh_linear) {
    second_ = std::make_unique<Linear>(width, width, generator);
    add_module("second", *second_);
  }
}

Variable VectorInput::forward(const Variable& x) const {
  const Variable y = first_.forward(x);
  return second_ ? second_->forward(tanh(y)) : y;
}

}  // namespace haze
