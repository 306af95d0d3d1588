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

TEST_CASE(
    "leaky ReLU leaves positive numbers as they are, bit by bit, and multiplies the others by 0.2 once") {
  Generator generator(5);
  FeedForward network({1, 1, 1}, HiddenActivation::leaky_relu, generator);
  for (const NamedParameter& parameter : network.parameters())
    fill(parameter.variable->value(), parameter.name.ends_with("weight") ? 1 : 0);
  const Tensor x = normal({1000, 1}, generator);
  const std::vector<float> numbers = x.to_vector<float>();
  const std::vector<float> result = network.forward(x).value().to_vector<float>();
  for (size_t i = 0; i < numbers.size(); ++i)
    CHECK(result[i] == (numbers[i] > 0 ? numbers[i] : 0.2F * numbers[i]));
}

TEST_CASE("a hidden layer with ReLU or SiLU writes its result alone: the activation is fused") {
  constexpr int64_t kRows = 1 << 15, kWidth = 8;
  constexpr size_t kBlock = kRows * kWidth * sizeof(float);
  Generator generator(6);
  const Tensor x = normal({kRows, kWidth}, generator);
  for (const HiddenActivation activation : {HiddenActivation::relu, HiddenActivation::silu}) {
    FeedForward network({kWidth, kWidth, 1}, activation, generator);
    const NoGradient scope;
    const size_t before = memory_statistics().in_use;
    reset_peak_memory();
    const Variable y = network.forward(x);
    // The result is an eighth of a block, and what a product packs for its kernel is less.
    CHECK((memory_statistics().peak - before) / kBlock == 1);
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
  CHECK(error_of([&] { FeedForward({3}, HiddenActivation::relu, generator); }) ==
        "FeedForward: 1 widths, it takes 2 or more");
  CHECK(error_of([&] {
          FeedForward({3, 0, 1}, HiddenActivation::relu, generator);
        }) == "Linear: 3 -> 0 is not a layer");
}

}  // namespace haze
