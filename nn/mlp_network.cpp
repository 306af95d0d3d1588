#include "haze/nn/mlp_network.h"

#include <string>

namespace haze {
namespace {

/// second(first(x)) + residual. No activation stands between the two, so where x is narrow their weights are
/// multiplied with each other first: (x A^T) B^T = x (B A)^T, which takes fewer multiplications.
Variable composed(const Linear& first, const Linear& second, const Variable& x, const Variable& residual) {
  constexpr int64_t kNarrow = 8;  // times as wide is what comes out of first
  if (kNarrow * x.size(-1) > first.weight().size(0)) {
    return second.forward(first.forward(x), Activation::none, residual);
  }
  const Variable weight = matmul(second.weight(), first.weight());  // [out, in]
  const Variable bias = second.forward(reshape(first.bias(), {1, first.bias().size(0)}));
  return linear(x, weight, reshape(bias, {bias.size(1)}), Activation::none, residual);
}

}  // namespace

MlpNetwork::MlpNetwork(const MlpNetworkConfig& config, Generator& generator)
    : input_(config.width, config.hidden, generator),
      time_embedding_(config.hidden, generator),
      output_(config.hidden, config.outputs * config.width, generator) {
  if (config.layers < 1) fail("MlpNetwork: {} hidden layers", config.layers);
  add_module("input", input_);
  add_module("time_embedding", time_embedding_);
  for (int64_t i = 0; i < config.layers; ++i) {
    layers_.push_back(std::make_unique<Linear>(config.hidden, config.hidden, generator));
    add_module("layers." + std::to_string(i), *layers_.back());
  }
  add_module("output", output_);
}

Variable MlpNetwork::forward(const Variable& x, const Tensor& t, const ForwardContext&) const {
  check_times("MlpNetwork", t, x.size(0), "vectors");
  const Variable time = time_embedding_.forward(t);
  Variable h = silu(composed(input_, *layers_.front(), x, time));
  for (size_t i = 1; i < layers_.size(); ++i) h = silu(layers_[i]->forward(h, Activation::none, time));
  return output_.forward(h);
}

}  // namespace haze
