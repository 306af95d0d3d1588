#include <doctest/doctest.h>

#include "haze/nn/transformer.h"

#include "nn/transformers.h"

namespace haze {
namespace {

using nn_test::every_kind;
using nn_test::sequences_of;
using nn_test::ThreadScope;
using nn_test::title;
using testing::random;

/// A transformer of two blocks in float64, as a function of its parameters and its input.
class SmallTransformer {
 public:
  explicit SmallTransformer(TransformerConfig config)
      : network_(in_float64(config)), parameters_(network_->parameters()) {}

  /// A smooth loss of every row: sum(tanh(network(x))^2), x [6, 8].
  Variable loss(const Variable& x) const {
    Generator draws(9);
    const Tensor t = Tensor::from<float>({0.25f, 0.75f, 0.5f}, {3});
    const bool timed = network_->config().time != TimeConditioning::none;
    const Variable y = network_->forward(x, sequences_of({3, 1, 2}), timed ? t : Tensor(),
                                         {.training = true, .generator = &draws});
    return sum(square(tanh(y)));
  }

  std::vector<Variable> parameters() const {
    std::vector<Variable> result;
    for (const NamedParameter& parameter : parameters_) result.push_back(*parameter.variable);
    return result;
  }

  /// parameters += step * direction.
  void move(const std::vector<Tensor>& direction, double step) const {
    for (size_t i = 0; i < direction.size(); ++i) {
      add_into(parameters_[i].variable->value(), scale_shift(direction[i], step, 0));
    }
  }

 private:
  static std::unique_ptr<Transformer> in_float64(const TransformerConfig& config) {
    Generator generator(1);
    auto network = std::make_unique<Transformer>(config, generator);
    network->to(Dtype::float64);
    nn_test::randomise(*network, 7, 0.4);
    return network;
  }

  std::unique_ptr<Transformer> network_;
  std::vector<NamedParameter> parameters_;
};

std::vector<TransformerConfig> configs() {
  TransformerConfig base;
  base.hidden = 8;
  base.layers = 2;
  base.heads = 2;
  base.mlp_ratio = 2;
  base.max_length = 6;
  std::vector<TransformerConfig> result = every_kind(base);
  for (size_t i = 0; i < result.size(); ++i) {  // each of these in about half of the kinds
    result[i].causal = i % 2;
    result[i].dropout = i % 3 ? 0.2 : 0;
    result[i].checkpoint_activations = i % 4 < 2;
  }
  return result;
}

std::vector<Tensor> directions(const std::vector<Variable>& parameters) {
  std::vector<Tensor> result;
  for (size_t i = 0; i < parameters.size(); ++i) result.push_back(random(parameters[i].shape(), 50 + i));
  return result;
}

/// Holds the gradient by all parameters of `value`, a number made of first derivatives, along a direction
/// against the difference quotient.
template <typename Value>
void check_slope(const SmallTransformer& network, Value value) {
  const std::vector<Variable> parameters = network.parameters();
  const std::vector<Tensor> direction = directions(parameters);
  const Gradients g = gradient(value(true), parameters);
  double slope = 0;
  for (size_t i = 0; i < g.size(); ++i) slope += sum(multiply(g[i].value(), direction[i])).item();
  const auto value_at = [&](double step) {
    network.move(direction, step);
    const double result = value(false).value().item();
    network.move(direction, -step);
    return result;
  };
  // All parameters move at once, so far that the error of two points' difference, O(h^2), would show: O(h^4).
  constexpr double kStep = 1e-5;
  const double near = value_at(kStep) - value_at(-kStep), far = value_at(2 * kStep) - value_at(-2 * kStep);
  CHECK(slope == doctest::Approx((8 * near - far) / (12 * kStep)).epsilon(1e-6));
  CHECK(std::abs(slope) > 1e-3);
}

}  // namespace

TEST_CASE("a gradient penalty on a transformer of every kind can be differentiated by its parameters") {
  const ThreadScope one(1);
  for (const TransformerConfig& config : configs()) {
    CAPTURE(title(config));
    const SmallTransformer network(config);
    check_slope(network, [&](bool create_graph) {
      const Variable x = Variable::leaf(random({6, 8}));
      const Variable slope = gradient(network.loss(x), {x}, {.create_graph = create_graph})[0];
      return mean(square(sqrt(sum(square(slope), {-1}) + 1e-12) - 1));
    });
  }
}

TEST_CASE("the Hessian of a transformer by its parameters agrees with differences of gradients") {
  const ThreadScope one(1);
  for (const TransformerConfig& config : configs()) {
    CAPTURE(title(config));
    const SmallTransformer network(config);
    const Variable x = Variable::leaf(random({6, 8}));
    const std::vector<Tensor> left = directions(network.parameters());
    check_slope(network, [&](bool create_graph) {
      const Gradients g = gradient(network.loss(x), network.parameters(), {.create_graph = create_graph});
      Variable along = zeros({}, Dtype::float64);
      for (size_t i = 0; i < g.size(); ++i) along = along + sum(g[i] * left[i]);
      return along;
    });
  }
}

}  // namespace haze
