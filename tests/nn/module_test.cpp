#include "haze/nn/module.h"

#include <doctest/doctest.h>

#include "haze/nn/layers.h"

namespace haze {
namespace {

class Pair : public Module {
 public:
  explicit Pair(double first_value) {
    add_parameter("a", a, full({2, 3}, first_value));
    add_parameter("b", b, full({4}, first_value + 1));
  }
  Variable a, b;
};

class Tree : public Module {
 public:
  Tree() {
    add_module("left", left);
    add_parameter("own", own, full({}, 0.1));
    add_module("branch.0", right);
  }
  Pair left{1}, right{3};
  Variable own;
};

/// A child whose parameters are named as this module's own, and a parameter that is registered again.
class Shared : public Module {
 public:
  Shared() {
    add_module("", pair);
    add_module("other", other);
    tie_parameter("again", pair.b);
  }
  Pair pair{1}, other{2};
};

class Nothing : public Module {};

std::vector<std::string> names(Module& module) {
  std::vector<std::string> result;
  for (const NamedParameter& parameter : module.parameters()) result.push_back(parameter.name);
  return result;
}

}  // namespace

TEST_CASE("module: parameters are listed by full name, a module's own before its children's, in order") {
  Tree tree;
  CHECK(names(tree) == std::vector<std::string>{"own", "left.a", "left.b", "branch.0.a", "branch.0.b"});
  const std::vector<NamedParameter> parameters = tree.parameters();
  CHECK(parameters[0].variable == &tree.own);
  CHECK(parameters[2].variable == &tree.left.b);
  CHECK(parameters[3].variable == &tree.right.a);
}

TEST_CASE("module: a child without a name lends its names, and a parameter registered twice is listed once") {
  Shared shared;
  CHECK(names(shared) == std::vector<std::string>{"again", "a", "other.a", "other.b"});
  CHECK(shared.parameters()[0].variable == &shared.pair.b);
  CHECK(shared.parameter_count() == 2 * (6 + 4));
  shared.to(Dtype::float64);
  CHECK(shared.pair.b.value().to_vector<double>() == std::vector<double>{2, 2, 2, 2});
}

TEST_CASE("module: the parameter count is the number of elements of all parameters") {
  Tree tree;
  CHECK(tree.parameter_count() == 1 + 2 * (6 + 4));
  Nothing nothing;
  CHECK(nothing.parameter_count() == 0);
  CHECK(nothing.parameters().empty());
}

TEST_CASE("module: parameters are leaves with the value they were registered with, and gather gradients") {
  Pair pair(2);
  CHECK(pair.a.requires_gradient());
  CHECK(pair.b.value().to_vector<double>() == std::vector<double>{3, 3, 3, 3});
  backward(sum(pair.b * 5));
  CHECK(pair.b.gradient().to_vector<double>() == std::vector<double>{5, 5, 5, 5});
  CHECK_FALSE(pair.a.gradient().defined());
}

TEST_CASE("module: clear_gradients forgets the gradients of every parameter below") {
  Tree tree;
  backward(sum(tree.left.a) + sum(tree.right.b) + tree.own);
  REQUIRE(tree.left.a.gradient().defined());
  tree.clear_gradients();
  for (const NamedParameter& parameter : tree.parameters()) {
    CAPTURE(parameter.name);
    CHECK_FALSE(parameter.variable->gradient().defined());
  }
}

TEST_CASE("module: to(float64) and back keeps every value, converts every parameter and forgets gradients") {
  Tree tree;
  backward(tree.own * 1);
  const float before = tree.own.value().data<float>()[0];
  tree.to(Dtype::float64);
  for (const NamedParameter& parameter : tree.parameters()) {
    CAPTURE(parameter.name);
    CHECK(parameter.variable->dtype() == Dtype::float64);
    CHECK(parameter.variable->requires_gradient());
    CHECK_FALSE(parameter.variable->gradient().defined());
  }
  CHECK(tree.own.value().item() == static_cast<double>(before));
  tree.to(Dtype::float32);
  CHECK(tree.own.value().data<float>()[0] == before);
}

TEST_CASE("module: a layer without a bias or without an affine part has no such parameter") {
  Generator generator(1);
  Linear with(2, 3, generator), without(2, 3, generator, false);
  CHECK(names(with) == std::vector<std::string>{"weight", "bias"});
  CHECK(names(without) == std::vector<std::string>{"weight"});
  LayerNorm affine(4), plain(4, 1e-5, false);
  CHECK(names(affine) == std::vector<std::string>{"weight", "bias"});
  CHECK(plain.parameters().empty());
}

}  // namespace haze
