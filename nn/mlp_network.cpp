#include "haze/nn/mlp_network.h"

#include <string>

namespace haze {

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
  Variable h = input_.forward(x);
  for (const auto& layer : layers_) h = silu(layer->forward(h, Activation::none, time));
  return output_.forward(h);
}

}  // namespace haze
