#pragma once

#include "haze/diffusion/baselines/pplm.h"

#include "nn/networks.h"

/// A small network with random weights and a linear attribute of its mean hidden state.
namespace haze::diffusion_test {

constexpr int32_t kHiddenVocabulary = 6, kHiddenEnd = 5;

inline std::unique_ptr<CausalTransformer> random_network(Dtype dtype = Dtype::float64, uint64_t seed = 2) {
  TransformerConfig config;
  config.hidden = 8;
  config.layers = 2;
  config.heads = 2;
  config.max_length = 10;
  Generator generator(1);
  auto network = std::make_unique<CausalTransformer>(kHiddenVocabulary, config, false, generator);
  nn_test::randomise(*network, seed, 0.6);
  network->to(dtype);
  return network;
}

/// c = w . mean + bias, where the control's first token is the sign of w: 0 for w, 1 for -w.
class LinearAttribute : public HiddenAttribute {
 public:
  explicit LinearAttribute(Tensor w, double bias = 0) : w_(std::move(w)), bias_(bias) {}

  Tensor read_controls(const TextBatch& controls) const override {
    std::vector<double> signs;
    for (int64_t i = 0; i < controls.sequences.count; ++i)
      signs.push_back(controls.tokens(i)[0] == 0 ? 1 : -1);
    return cast(Tensor::from(signs, {std::ssize(signs), 1}), w_.dtype());
  }
  Variable logits(const Variable& mean, const Variable& controls) const override {
    const Variable c = matmul(mean, Variable(reshape(w_, {w_.elements(), 1}))) + bias_;
    return reshape(c * controls, {mean.size(0)});
  }

 private:
  Tensor w_;
  double bias_;
};

}  // namespace haze::diffusion_test
