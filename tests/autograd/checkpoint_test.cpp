#include <algorithm>

#include "haze/engine/profile.h"

#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

Variable layer_of(const Variable& x, const Variable& w, const Variable& b) {
  return linear(x, w, b, Activation::gelu, x);
}

}  // namespace

TEST_CASE(
    "gradient() sees the parameters and values that a checkpointed function uses without being handed") {
  const auto f = [](const Inputs& in, bool checkpointed) {
    const Variable outside = square(in[1]);  // neither a leaf nor handed over
    const auto function = [=](const Inputs& given, Generator*) {
      return layer_of(given[0], outside, in[2]) * in[0] + given[1];
    };
    const Inputs handed{in[0], in[0] * 2.0};
    return sum(square(checkpointed ? checkpoint(function, handed) : function(handed, nullptr)));
  };
  const std::vector<Tensor> at{random({3, 4}), random({4, 4}, 2), random({4}, 3)};
  Inputs leaves;
  for (const Tensor& x : at) leaves.push_back(Variable::leaf(x));
  const Gradients plain = gradient(f(leaves, false), leaves), again = gradient(f(leaves, true), leaves);
  for (size_t i = 0; i < at.size(); ++i) {
    CHECK(global_norm(std::vector{subtract(plain[i].value(), again[i].value())}) < 1e-12);
    // each alone, as well
    const Variable alone = gradient(f(leaves, true), {leaves[i]})[0];
    CHECK(alone.value().to_vector<double>() == again[i].value().to_vector<double>());
  }
  check_first_and_second(
      "checkpoint", [&](const Inputs& in) { return f(in, true); }, at);
}

TEST_CASE("checkpoints inside checkpoints, with dropout, have first and second derivatives") {
  const auto f = [](const Inputs& in) {
    Generator generator(5);
    const auto inner = [w = in[1]](const Inputs& given, Generator* draws) {
      return dropout(matmul(given[0], w), 0.4, *draws);
    };
    const auto outer = [w = in[1], inner](const Inputs& given, Generator* draws) {
      return checkpoint(inner, {unary(UnaryOp::sin, given[0])}, draws) + given[0] + w;
    };
    return checkpoint(outer, {in[0]}, &generator);
  };
  check_first_and_second("nested", f, {random({4, 4}), random({4, 4}, 2)});
}

TEST_CASE("a function that returns a parameter or an input as it is may be checkpointed") {
  const Variable x = Variable::leaf(random({3})), w = Variable::leaf(random({3}, 2));
  backward(sum(checkpoint([&](const Inputs&, Generator*) { return w; }, {x}) * 2.0));
  CHECK(w.gradient().to_vector<double>() == std::vector<double>(3, 2));
  CHECK_FALSE(x.gradient().defined());
  backward(sum(checkpoint([&](const Inputs& in, Generator*) { return in[0]; }, {x}) * 3.0));
  CHECK(x.gradient().to_vector<double>() == std::vector<double>(3, 3));
}

TEST_CASE("a checkpoint of constants is a constant") {
  const auto f = [](const Inputs& in, Generator*) { return square(in[0]); };
  CHECK_FALSE(checkpoint(f, {Variable(random({3}))}).requires_gradient());
  const NoGradient scope;
  CHECK_FALSE(checkpoint(f, {Variable::leaf(random({3}))}).requires_gradient());
}

TEST_CASE("a checkpointed function that uses another parameter when it runs again is an error") {
  const Variable x = Variable::leaf(random({3})), a = Variable::leaf(random({3}, 2));
  const Variable b = Variable::leaf(random({3}, 3));
  int runs = 0;
  const Variable y = checkpoint([&](const Inputs& in, Generator*) { return in[0] * (runs++ ? b : a); }, {x});
  CHECK(contains(error_of([&] { backward(sum(y)); }), "checkpoint: when it ran again"));
  // what the failed pass left behind does no harm
  backward(sum(x * b));
  CHECK(x.gradient().to_vector<double>() == b.value().to_vector<double>());
}

TEST_CASE("gradient() computes only what leads to the inputs that were asked for") {
  constexpr int64_t kWidth = 8;
  const Variable x = Variable::leaf(random({4, kWidth}));
  std::vector<Variable> weights;
  for (uint64_t i = 0; i < 6; ++i) weights.push_back(Variable::leaf(random({kWidth, kWidth}, i)));
  const auto network = [&](bool checkpointed) {
    Variable y = x;
    for (const Variable& w : weights) {
      const auto layer = [&w](const Inputs& in, Generator*) { return linear(in[0], w); };
      y = checkpointed ? checkpoint(layer, {y}) : layer({y}, nullptr);
    }
    return sum(y);
  };
  const auto products = [&](const Variable& root, const std::vector<Variable>& inputs) {
    Profile profile;
    {
      const ProfileScope scope(profile);
      gradient(root, inputs);
    }
    return std::count_if(profile.calls.begin(), profile.calls.end(), [](const ProfileCall& call) {
      return call.operation.find("matmul") != std::string::npos;
    });
  };
  std::vector<Variable> all = weights;
  all.push_back(x);
  CHECK(products(network(false), all) == 12);
  CHECK(products(network(false), {x}) == 6);
  CHECK(products(network(false), {weights[0]}) == 6);  // five x, one weight
  CHECK(products(network(false), {weights[5]}) == 1);  // nothing behind the last layer
  CHECK(products(network(true), all) == 18);           // six more in the second runs
  CHECK(products(network(true), {x}) == 12);
  CHECK(products(network(true), {weights[5]}) == 2);
}
