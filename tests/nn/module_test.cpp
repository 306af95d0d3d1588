#include "haze/nn/module.h"

#include <doctest/doctest.h>

#include "haze/nn/ema.h"
#include "haze/nn/layers.h"
#include "haze/nn/safetensors.h"

#include "nn/networks.h"
#include "nn/temporary_folder.h"

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

/// State that is no parameter beside one that is.
class Counted : public Module {
 public:
  Counted() {
    add_parameter("weight", weight, full({2}, 1));
    add_buffer("mean", mean, full({3}, 0.1));
    add_buffer("count", count, Tensor::from<int32_t>({7}, {1}));
  }
  Variable weight;
  Tensor mean, count;
};

class CountedTwice : public Module {
 public:
  CountedTwice() {
    add_module("first", first);
    add_module("again", first);
    add_buffer("own", own, full({}, 5));
  }
  Counted first;
  Tensor own;
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

TEST_CASE("module: buffers have full names, are listed once, and are no parameters") {
  CountedTwice module;
  const std::vector<NamedBuffer> buffers = module.buffers();
  REQUIRE(buffers.size() == 3);
  CHECK(buffers[0].name == "own");
  CHECK(buffers[1].name == "first.mean");
  CHECK(buffers[2].name == "first.count");
  CHECK(buffers[2].tensor == &module.first.count);
  CHECK(names(module) == std::vector<std::string>{"first.weight"});
  CHECK(module.parameter_count() == 2);
  CHECK(Ema(module.parameters(), 0.9).averages().size() == 1);
}

TEST_CASE("module: to() converts floating buffers and leaves the others as they are") {
  Counted module;
  module.to(Dtype::float64);
  CHECK(module.mean.dtype() == Dtype::float64);
  CHECK(module.mean.to_vector<double>() == std::vector<double>(3, static_cast<double>(0.1f)));
  CHECK(module.count.dtype() == Dtype::int32);
  CHECK(module.count.to_vector<int32_t>() == std::vector<int32_t>{7});
}

TEST_CASE("module: a buffer without a first value gives a sentence") {
  struct Empty : Module {
    Empty() { add_buffer("mean", mean, {}); }
    Tensor mean;
  };
  CHECK(testing::error_of([] { Empty(); }) == "module: buffer mean has no first value");
}

TEST_CASE("module: state_tensors are the parameters' values and then the buffers, in shared storage") {
  Counted module;
  const NamedTensors state = state_tensors(module);
  REQUIRE(state.size() == 3);
  CHECK(state[0].name == "weight");
  CHECK(state[1].name == "mean");
  CHECK(state[2].name == "count");
  fill(state[1].tensor, 4);
  CHECK(module.mean.to_vector<float>() == std::vector<float>{4, 4, 4});
  CHECK(parameter_tensors(module).size() == 1);
}

TEST_CASE("module: a file of parameters holds the buffers, and one without them does not fit") {
  const nn_test::TemporaryFolder folder;
  Counted source, target;
  fill(source.mean, 2.5);
  fill(source.count, 11);
  save_parameters(source, folder / "state");
  const Tensor storage = target.mean;
  load_parameters(target, folder / "state");
  CHECK(storage.to_vector<float>() == std::vector<float>{2.5f, 2.5f, 2.5f});
  CHECK(target.count.to_vector<int32_t>() == std::vector<int32_t>{11});

  write_safetensors(folder / "part", parameter_tensors(source));
  const NameDifference difference = load_parameters(target, folder / "part", false);
  CHECK(difference.missing == std::vector<std::string>{"mean", "count"});
  CHECK_THROWS_AS(load_parameters(target, folder / "part"), Error);
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
