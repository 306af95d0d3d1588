#include <functional>

#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

const Activation kActivations[] = {Activation::none, Activation::relu, Activation::gelu,
                                   Activation::gelu_tanh, Activation::silu};

/// x, up's weight and bias, down's, residual.
std::vector<Tensor> inputs_for(const Shape& x, int64_t inner, int64_t out) {
  Shape y = x;
  y[x.rank() - 1] = out;
  return {random(x),          random({inner, x.back()}, 2),
          random({inner}, 3), random({out, inner}, 4),
          random({out}, 5),   random(y, 6)};
}

double largest_difference(const Tensor& a, const Tensor& b) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, subtract(a, b))).item();
}

}  // namespace

TEST_CASE("mlp with every activation has first and second derivatives that agree with central differences") {
  for (const Activation activation : kActivations) {
    const auto f = [&](const Inputs& in) {
      return mlp(in[0], in[1], in[2], in[3], in[4], activation, in[5]);
    };
    check_first_and_second("mlp", f, inputs_for({2, 3, 4}, 5, 3));
    check_first("mlp of one row", f, inputs_for({4}, 2, 3));
    check_first_and_second("mlp without biases and residual",
                           [&](const Inputs& in) { return mlp(in[0], in[1], {}, in[2], {}, activation); },
                           {random({3, 4}), random({5, 4}, 2), random({2, 5}, 3)});
  }
}

TEST_CASE("mlp equals two linear layers, forward and backward") {
  for (const Activation activation : kActivations) {
    Inputs fused, apart;
    for (const Tensor& input : inputs_for({2, 7, 4}, 5, 3)) {
      fused.push_back(Variable::leaf(input));
      apart.push_back(Variable::leaf(input));
    }
    const Variable y = mlp(fused[0], fused[1], fused[2], fused[3], fused[4], activation, fused[5]);
    const Variable h = linear(apart[0], apart[1], apart[2], activation);
    const Variable z = linear(h, apart[3], apart[4], Activation::none, apart[5]);
    CHECK(largest_difference(y.value(), z.value()) < 1e-12);
    const Tensor seed = random(y.shape(), 9);
    backward(y, seed);
    backward(z, seed);
    for (size_t i = 0; i < fused.size(); ++i) {
      CHECK(largest_difference(fused[i].gradient(), apart[i].gradient()) < 1e-12);
    }
  }
}

TEST_CASE("mlp computes only the gradients that are needed") {
  const std::vector<Tensor> inputs = inputs_for({3, 4}, 5, 2);
  Inputs all;
  for (const Tensor& input : inputs) all.push_back(Variable::leaf(input));
  const auto f = [](const Inputs& in) {
    return sum(square(mlp(in[0], in[1], in[2], in[3], in[4], Activation::silu, in[5])));
  };
  backward(f(all));
  for (size_t i = 0; i < inputs.size(); ++i) {
    Inputs one(inputs.begin(), inputs.end());
    one[i] = Variable::leaf(inputs[i]);
    backward(f(one));
    CHECK(one[i].gradient().to_vector<double>() == all[i].gradient().to_vector<double>());
    check_first_and_second("mlp of one input",
                           [&](const Inputs& in) {
                             Inputs given(inputs.begin(), inputs.end());
                             given[i] = in[0];
                             return f(given);
                           },
                           {inputs[i]});
  }
}

TEST_CASE("mlp says which shapes do not fit") {
  const Variable x = Variable::leaf(random({3, 4}));
  CHECK(error_of([&] {
          mlp(x, random({5, 3}), {}, random({2, 5}), {}, Activation::gelu);
        }) == "mlp: x has shape [3, 4], weight [5, 3]; it takes [..., in] and [out, in]");
  CHECK(error_of([&] {
          mlp(x, random({5, 4}), {}, random({2, 6}), {}, Activation::gelu);
        }) == "mlp: up_weight has shape [5, 4], down_weight [2, 6]; it takes [inner, in] and [out, inner]");
}

TEST_CASE(
    "a precision scope rounds the products of every fused layer, forward and backward, and ends with its "
    "life") {
  const auto leaf = [](const Shape& shape, uint64_t seed) {
    return Variable::leaf(cast(random(shape, seed), Dtype::float32));
  };
  using Leaves = std::vector<Variable>;
  struct Layer {
    const char* name;
    Leaves leaves;
    std::function<Variable(const Leaves&)> apply;
    size_t
        exact;  // as many leaves at the end whose gradients are sums of the output's gradient, not products
  };
  const Tensor targets = cast(arange(40), Dtype::int32);
  const Layer layers[] = {
      {"linear",
       {leaf({40, 24}, 1), leaf({16, 24}, 2), leaf({16}, 3)},
       [](const Leaves& in) { return linear(in[0], in[1], in[2]); },
       1},
      {"mlp",
       {leaf({40, 24}, 1), leaf({32, 24}, 2), leaf({32}, 3), leaf({16, 32}, 4), leaf({16}, 5)},
       [](const Leaves& in) { return mlp(in[0], in[1], in[2], in[3], in[4], Activation::gelu); },
       1},
      {"linear_cross_entropy",
       {leaf({40, 24}, 1), leaf({50, 24}, 2), leaf({50}, 3)},
       [&](const Leaves& in) { return linear_cross_entropy(in[0], in[1], in[2], targets, ones({40})).total; },
       0}};
  for (const Layer& layer : layers) {
    CAPTURE(layer.name);
    const auto results = [&](Precision precision) {
      Leaves leaves;
      for (const Variable& x : layer.leaves) leaves.push_back(Variable::leaf(x.value()));
      Variable y;
      {
        const PrecisionScope scope(precision);
        CHECK(current_precision() == precision);
        y = layer.apply(leaves);
      }
      CHECK(current_precision() == Precision::full);
      backward(y, y.rank() == 0 ? ones({}) : cast(random({40, 16}, 7), Dtype::float32));
      std::vector<Tensor> result{y.value()};
      for (const Variable& x : leaves) result.push_back(x.gradient());
      return result;
    };
    const std::vector<Tensor> full = results(Precision::full), half = results(Precision::bfloat16);
    for (size_t i = 0; i < full.size(); ++i) {
      const double difference = largest_difference(full[i], half[i]);
      if (i + layer.exact >= full.size()) {
        CHECK(difference == 0);
        continue;
      }
      const double scale = reduce(ReduceOp::max, unary(UnaryOp::absolute, full[i])).item();
      CHECK(difference > 0);
      CHECK(difference < 0x1p-6 * scale);
    }
  }
}
