#include "haze/nn/mlp_network.h"

#include <doctest/doctest.h>

#include "nn/networks.h"

namespace haze {
namespace {

using namespace nn_test;

const MlpNetworkConfig kTiny = {.width = 2, .hidden = 5, .layers = 2};

}  // namespace

TEST_CASE("an MLP network is its formula: the time embedding is added before each SiLU") {
  Generator generator(1);
  MlpNetwork network(kTiny, generator);
  randomise(network);
  const Tensor x = normal({3, 2}, generator);
  const Tensor t = Tensor::from({0.1f, 0.5f, 1.0f}, {3});
  const Parameters p(network);
  const Matrix waves(sinusoidal_embedding(scale_shift(t, 1000, 0), 256));
  const Matrix time =
      p.linear("time_embedding.second", map(p.linear("time_embedding.first", waves), silu_of));
  Matrix h = p.linear("input", Matrix(x));
  for (const char* layer : {"layers.0", "layers.1"}) h = map(p.linear(layer, h) + time, silu_of);
  CHECK(largest_difference(values(network.forward(x, t)), p.linear("output", h).elements) < 1e-4);
}

TEST_CASE("gradients of an MLP network agree with central differences") {
  Generator generator(2);
  MlpNetwork network(kTiny, generator);
  network.to(Dtype::float64);
  randomise(network, 3, 0.2);
  const Tensor x = normal({3, 2}, generator, 0, 1, Dtype::float64);
  const Tensor t = Tensor::from({0.2f, 0.6f, 0.9f}, {3});
  check_gradients("MlpNetwork", network, {x},
                  [&](const Inputs& given) { return network.forward(given[0], t); });
}

TEST_CASE("a vector's result does not depend on the others of its batch, to the last bit") {
  Generator generator(4);
  MlpNetwork network({.width = 2, .hidden = 128, .layers = 3}, generator);
  const Tensor x = normal({50, 2}, generator), t = uniform({50}, generator);
  const std::vector<double> all = values(network.forward(x, t));
  for (int64_t i : {0, 17, 49}) {
    const std::vector<double> one = values(network.forward(slice(x, 0, i, i + 1), slice(t, 0, i, i + 1)));
    CHECK(one == std::vector<double>(all.begin() + 2 * i, all.begin() + 2 * i + 2));
  }
}

TEST_CASE("an MLP network says what is wrong") {
  Generator generator(5);
  CHECK_THROWS_AS(MlpNetwork({.width = 0}, generator), Error);
  CHECK_THROWS_AS(MlpNetwork({.layers = 0}, generator), Error);
  const MlpNetwork network(kTiny, generator);
  CHECK_THROWS_WITH_AS(network.forward(zeros({3, 2}), zeros({2})), "MlpNetwork: 3 vectors need a time each",
                       Error);
}

}  // namespace haze
