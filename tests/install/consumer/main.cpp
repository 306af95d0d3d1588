#include <cstdio>

#include "haze/nn/layers.h"
#include "haze/nn/optimizer.h"

using namespace haze;

/// Learns y = sin x with one hidden layer.
struct Network : Module {
  explicit Network(Generator& generator) : hidden(1, 32, generator), output(32, 1, generator) {
    add_module("hidden", hidden);
    add_module("output", output);
  }
  Variable forward(const Variable& x) const { return output.forward(tanh(hidden.forward(x))); }
  Linear hidden, output;
};

int main() {
  Generator generator(1);
  Network network(generator);
  AdamW optimizer(network.parameters());
  double error = 1;
  for (int step = 0; step < 2000; ++step) {
    const Tensor x = uniform({64, 1}, generator, -3, 3);
    const Variable loss = mean(square(network.forward(x) - Variable(unary(UnaryOp::sin, x))));
    network.clear_gradients();
    backward(loss);
    optimizer.step(1e-2);
    error = loss.value().item();
  }
  std::printf("mean squared error: %.6f\n", error);
  return error < 1e-3 ? 0 : 1;
}
