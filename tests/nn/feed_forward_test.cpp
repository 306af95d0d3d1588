#include "haze/nn/feed_forward.h"

#include <doctest/doctest.h>

#include "nn/networks.h"

namespace haze {
namespace {

using namespace nn_test;
using testing::error_of;
using testing::random;

constexpr HiddenActivation kActivations[] = {HiddenActivation::relu, HiddenActivation::silu,
                                             HiddenActivation::leaky_relu};

double activate_number(HiddenActivation activation, double x) {
  if (activation == HiddenActivation::silu) return silu_of(x);
  const double slope = activation == HiddenActivation::relu ? 0 : 0.2;
  return x > 0 ? x : slope * x;
}

}  // namespace

TEST_CASE("a feed-forward network is linear layers with an activation between them") {
  Generator generator(1);
  for (const HiddenActivation activation : kActivations) {
    FeedForward network({3, 5, 4, 2}, activation, generator);
    network.to(Dtype::float64);
    randomise(network);
    const Parameters p(network);
    const Tensor x = random({6, 3});
    const auto activated = [&](const Matrix& h) {
      return map(h, [&](double y) { return activate_number(activation, y); });
    };
    const Matrix h = activated(p.linear("layers.1", activated(p.linear("layers.0", Matrix(x)))));
    CHECK(largest_difference(values(network.forward(x)), p.linear("layers.2", h).elements) < 1e-12);
  }
}

TEST_CASE("first and second derivatives of a feed-forward network agree with central differences") {
  Generator generator(2);
  for (const HiddenActivation activation : kActivations) {
    FeedForward network({3, 4, 4, 2}, activation, generator);
    network.to(Dtype::float64);
    randomise(network);
    const Tensor x = random({2, 3});
    check_gradients("FeedForward", network, {x},
                    [&](const Inputs& given) { return network.forward(given[0]); });
    const GradcheckResult second =
        gradcheck_second([&](const Inputs& given) { return network.forward(given[0]); }, {x});
    CHECK_MESSAGE(second.passed, second.message);
  }
}

TEST_CASE("a frozen pass gives the bits of the other, for x and its gradient, and no parameter a gradient") {
  Generator generator(4);
  for (const HiddenActivation activation : kActivations) {
    FeedForward network({3, 5, 4, 2}, activation, generator);
    randomise(network);
    const Variable x = Variable::leaf(normal({6, 3}, generator));
    const Variable learning = network.forward(x), frozen = network.forward_frozen(x);
    CHECK(values(frozen) == values(learning));
    CHECK(gradient(sum(square(frozen)), {x})[0].value().to_vector<float>() ==
          gradient(sum(square(learning)), {x})[0].value().to_vector<float>());

    backward(sum(network.forward_frozen(x)));
    for (const NamedParameter& parameter : network.parameters())
      CHECK_FALSE_MESSAGE(parameter.variable->gradient().defined(), parameter.name);
    CHECK_FALSE(network.forward_frozen(x.detach()).requires_gradient());
  }
}

TEST_CASE("the widths of equal hidden layers stand between the first and the last") {
  CHECK(feed_forward_widths(3, 2, 8, 1) == std::vector<int64_t>{3, 8, 8, 1});
  CHECK(feed_forward_widths(3, 0, 8, 1) == std::vector<int64_t>{3, 1});
}

TEST_CASE("a feed-forward network says what is wrong") {
  Generator generator(3);
  CHECK(hidden_activation("leaky-relu") == HiddenActivation::leaky_relu);
  CHECK(hidden_activation("relu") == HiddenActivation::relu);
  CHECK(hidden_activation("silu") == HiddenActivation::silu);
  CHECK(error_of([] { hidden_activation("tanh"); }) ==
        "there is no hidden activation 'tanh'; there are relu, silu and leaky-relu");
  CHECK(error_of([&] { FeedForward({3}, HiddenActivation::relu, generator); }) ==
        "FeedForward: 1 widths, it takes 2 or more");
  CHECK(error_of([&] {
          FeedForward({3, 0, 1}, HiddenActivation::relu, generator);
        }) == "Linear: 3 -> 0 is not a layer");
}

}  // namespace haze
