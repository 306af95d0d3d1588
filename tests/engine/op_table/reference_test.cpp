#include "engine/op_table/reference.h"

#include <doctest/doctest.h>

using namespace haze;
using reference::Array;

// The table trusts the reference's gradients, which are formulas; here they are held against central
// differences of the reference's results.
namespace {

// Numbers without a pattern, the same in every run.
class Numbers {
 public:
  Array filled(const Shape& shape, double low = -1, double high = 1) {
    Array result(shape);
    for (double& value : result.values) {
      state_ = std::fmod(state_ * 997 + 0.31, 1.0);
      value = low + (high - low) * state_;
    }
    return result;
  }

 private:
  double state_ = 0.1;
};

// sum(g result)
double weighted(const Array& g, const Array& result) {
  double sum = 0;
  for (size_t i = 0; i < g.values.size(); ++i) sum += g.values[i] * result.values[i];
  return sum;
}

// Whether `gradient` is that of loss() by the elements of x, which loss reads.
template <typename Loss>
void check_gradient(Array& x, const Array& gradient, Loss&& loss) {
  constexpr double kStep = 1e-5;
  REQUIRE(gradient.values.size() == x.values.size());
  for (size_t i = 0; i < x.values.size(); ++i) {
    const double value = x.values[i];
    x.values[i] = value + kStep;
    const double above = loss();
    x.values[i] = value - kStep;
    const double below = loss();
    x.values[i] = value;
    CHECK(gradient.values[i] == doctest::Approx((above - below) / (2 * kStep)).epsilon(1e-6).scale(1));
  }
}

}  // namespace

TEST_CASE("operation table: the reference's activation gradients are central differences") {
  Numbers numbers;
  for (const auto& [op, gradient] : {std::pair{UnaryOp::gelu, BinaryOp::gelu_gradient},
                                     {UnaryOp::gelu_tanh, BinaryOp::gelu_tanh_gradient},
                                     {UnaryOp::silu, BinaryOp::silu_gradient}}) {
    Array x = numbers.filled({17}, -6, 6), g = numbers.filled({17});
    const auto forward = [&, op = op] {
      return weighted(g, reference::map(x, [=](double v) { return reference::unary(op, v, 0, 0); }));
    };
    const Array analytic = reference::zip(
        x, g, [gradient = gradient](double v, double up) { return reference::binary(gradient, v, up); });
    check_gradient(x, analytic, forward);
  }
}

TEST_CASE("operation table: the reference's softmax gradients are central differences") {
  Numbers numbers;
  for (bool log : {false, true}) {
    Array x = numbers.filled({3, 5}, -2, 2);
    const Array g = numbers.filled({3, 5});
    const Array analytic = reference::softmax_gradient(reference::softmax(x, log), g, log);
    check_gradient(x, analytic, [&] { return weighted(g, reference::softmax(x, log)); });
  }
}

TEST_CASE("operation table: the reference's norm gradients are central differences") {
  Numbers numbers;
  constexpr double kEpsilon = 1e-3;
  Array x = numbers.filled({3, 5}), weight = numbers.filled({5}), bias = numbers.filled({5});
  const Array g = numbers.filled({3, 5});
  const auto layer = [&] { return weighted(g, reference::layer_norm(x, weight, bias, kEpsilon).output); };
  const reference::NormGradients of_layer = reference::layer_norm_gradient(g, x, weight, kEpsilon);
  check_gradient(x, of_layer.x, layer);
  check_gradient(weight, of_layer.weight, layer);
  check_gradient(bias, of_layer.bias, layer);
  const auto rms = [&] { return weighted(g, reference::rms_norm(x, weight, kEpsilon).output); };
  const reference::NormGradients of_rms = reference::rms_norm_gradient(g, x, weight, kEpsilon);
  check_gradient(x, of_rms.x, rms);
  check_gradient(weight, of_rms.weight, rms);
  Array image = numbers.filled({2, 4, 3}), scale = numbers.filled({4}), shift = numbers.filled({4});
  const Array up = numbers.filled({2, 4, 3});
  const auto group = [&] {
    return weighted(up, reference::group_norm(image, scale, shift, 2, kEpsilon).output);
  };
  const reference::NormGradients of_group = reference::group_norm_gradient(up, image, scale, 2, kEpsilon);
  check_gradient(image, of_group.x, group);
  check_gradient(scale, of_group.weight, group);
  check_gradient(shift, of_group.bias, group);
}

TEST_CASE("operation table: the reference's attention gradients are central differences") {
  Numbers numbers;
  const RandomPosition position{1, 2, 3};
  const auto check = [&](const Shape& of_query, const Shape& of_key, const reference::AttentionMask& mask) {
    Array query = numbers.filled(of_query), key = numbers.filled(of_key), value = numbers.filled(of_key);
    const Array g = numbers.filled(of_query);
    const auto loss = [&] { return weighted(g, reference::attention(query, key, value, mask).output); };
    const reference::AttentionGradients analytic = reference::attention_gradient(g, query, key, value, mask);
    check_gradient(query, analytic.query, loss);
    check_gradient(key, analytic.key, loss);
    check_gradient(value, analytic.value, loss);
  };
  const Shape query{2, 4, 2, 3}, key{2, 5, 2, 3};
  check(query, key, {});
  check(query, key, {.causal = true, .dropout = 0.3, .position = position});
  check(query, key, {.key_lengths = {0, 3}, .dropout = 0.5, .position = position});
  check(query, key, {.causal = true, .causal_offsets = {3, -1}});
  check({2, 4, 4, 3}, key, {});  // grouped heads
  reference::AttentionMask ragged{
      .causal = true, .key_lengths = {2, 3}, .query_offsets = {0, 1, 4}, .key_offsets = {0, 2, 6}};
  ragged.block_mask = numbers.filled({2, 2, 2}, 0, 1);
  for (double& block : ragged.block_mask.values) block = block > 0.3;
  ragged.block_size = 2;
  ragged.pair_mask = numbers.filled({4, 1, 6});
  ragged.adds_pair_mask = true;
  check({1, 4, 4, 3}, {1, 6, 2, 3}, ragged);
}

TEST_CASE("operation table: the reference's cross-entropy gradients are central differences") {
  Numbers numbers;
  Array hidden = numbers.filled({4, 3}), weight = numbers.filled({5, 3}), bias = numbers.filled({5}),
        targets({4});
  targets.values = {0, 4, 2, 2};
  const Array row_weights = numbers.filled({4}, 0, 1);
  const auto loss = [&] {
    return weighted(row_weights, reference::linear_cross_entropy(hidden, weight, bias, targets, {}).losses);
  };
  const reference::CrossEntropy analytic =
      reference::linear_cross_entropy(hidden, weight, bias, targets, row_weights);
  check_gradient(hidden, analytic.hidden, loss);
  check_gradient(weight, analytic.weight, loss);
  check_gradient(bias, analytic.bias, loss);
}
