#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

Variable scalar_leaf(double value) {
  return Variable::leaf(full({}, value, Dtype::float64));
}

}  // namespace

TEST_CASE("the gradients of a value that is used more than once add up") {
  const auto f = [](const Inputs& in) {
    const Variable y = unary(UnaryOp::sin, in[0]);
    return y * y + exp(y) * in[0] - in[0] * in[0];
  };
  check_first_and_second("used often", f, {random({4})});
  const Variable x = scalar_leaf(3);
  backward(x * x + x);
  CHECK(x.gradient().item() == 7);
}

TEST_CASE("backward passes add up in a leaf until its gradient is cleared") {
  const Variable x = scalar_leaf(2);
  CHECK_FALSE(x.gradient().defined());
  backward(square(x));
  backward(square(x));
  CHECK(x.gradient().item() == 8);
  Variable same = x;
  same.clear_gradient();
  CHECK_FALSE(x.gradient().defined());
}

TEST_CASE("the gradient of a leaf is dense, whatever the rule returned") {
  const Variable x = Variable::leaf(random({3, 4}));
  backward(sum(transpose(x)));
  CHECK(x.gradient().is_contiguous());
  CHECK(x.gradient().to_vector<double>() == std::vector<double>(12, 1));
}

TEST_CASE("a seed stands for the gradient of the root") {
  const Variable x = Variable::leaf(float64s({1, 2, 3}));
  backward(square(x), float64s({1, 10, 100}));
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{2, 40, 600});
}

TEST_CASE("backward says what it cannot start from") {
  const Variable x = Variable::leaf(float64s({1, 2}));
  CHECK(contains(error_of([&] { backward(square(x)); }), "it must have one element"));
  CHECK(contains(error_of([&] { backward(square(x), float64s({1})); }), "the seed is float64 [1]"));
  CHECK(contains(error_of([&] { backward(Variable(float64s({1}))); }), "does not depend on anything"));
  CHECK(contains(error_of([&] { static_cast<void>(square(x).gradient()); }), "not a leaf"));
  CHECK(contains(error_of([&] { Variable::leaf(ones({2}, Dtype::int32)); }), "int32"));
}

TEST_CASE("nothing is recorded under NoGradient, and scopes nest") {
  const Variable x = scalar_leaf(2);
  {
    const NoGradient outer;
    {
      const NoGradient inner;
      CHECK_FALSE(gradients_enabled());
    }
    CHECK_FALSE(gradients_enabled());
    CHECK_FALSE(square(x).requires_gradient());
  }
  CHECK(gradients_enabled());
  CHECK(square(x).requires_gradient());
}

TEST_CASE("EnableGradient records within NoGradient, and leaves it as it was") {
  const Variable x = scalar_leaf(3);
  const NoGradient outer;
  {
    const EnableGradient inner;
    CHECK(gradients_enabled());
    CHECK(gradient(square(x), {x})[0].value().item() == 6);
  }
  CHECK_FALSE(gradients_enabled());
  CHECK_FALSE(square(x).requires_gradient());
}

TEST_CASE("a detached value is a constant") {
  const Variable x = scalar_leaf(3);
  const Variable y = square(x);
  backward(y.detach() * x);
  CHECK(x.gradient().item() == 9);
  CHECK_FALSE(y.detach().requires_gradient());
}

TEST_CASE("gradient() reaches intermediate values and leaves the gradients of leaves alone") {
  const Variable x = scalar_leaf(3);
  const Variable y = square(x), z = y * y * x;
  const Variable unrelated = scalar_leaf(1);
  const Gradients d = gradient(z, {y, x, unrelated});
  CHECK(d[0].value().item() == 2 * 9 * 3);  // dz/dy = 2 y x
  CHECK(d[1].value().item() == 5 * 81);     // z = x^5
  CHECK(d[2].value().item() == 0);
  CHECK_FALSE(x.gradient().defined());
  CHECK(contains(error_of([&] { gradient(square(x), {Variable(float64s({1}))}); }), "Variable::leaf"));
}

TEST_CASE("gradients of gradients of gradients") {
  const Variable x = scalar_leaf(1.5);
  Variable y = unary(UnaryOp::power, x, 5);
  for (const double expected : {5 * std::pow(1.5, 4), 20 * std::pow(1.5, 3), 60 * std::pow(1.5, 2)}) {
    y = gradient(y, {x}, {.create_graph = true})[0];
    CHECK(y.value().item() == doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("a tape can be used again only where it was retained") {
  const Variable x = scalar_leaf(3);
  const Variable kept = exp(x) * x;
  backward(kept, {}, {.retain_graph = true});
  const double once = x.gradient().item();
  backward(kept);
  CHECK(x.gradient().item() == 2 * once);
  CHECK(contains(error_of([&] { backward(kept); }), "used up by an earlier backward pass"));
  CHECK(contains(error_of([&] { backward(kept); }), "multiply"));
}

TEST_CASE("a hook sees the gradient of a value once it is complete") {
  const Variable x = scalar_leaf(2);
  const Variable y = square(x);
  std::vector<double> seen;
  y.on_gradient([&](const Tensor& g) { seen.push_back(g.item()); });
  x.on_gradient([&](const Tensor& g) { seen.push_back(g.item()); });
  const Variable z = y * y + y * 3.0;  // dz/dy = 2 y + 3 = 11, from three places
  backward(z);
  CHECK(seen == std::vector<double>{11, 44});
  CHECK(contains(error_of([&] { y.detach().on_gradient([](const Tensor&) {}); }), "needs no gradient"));
}

TEST_CASE("the first non-finite number is traced to the forward operation that made it") {
  const Variable x = Variable::leaf(float64s({1, -1}));
  CHECK(std::isnan(sum(log(x) * 2.0).value().item()));
  const DetectNonFinite scope;
  const std::string error = error_of([&] { sum(log(x) * 2.0); });
  CHECK(contains(error, "log"));
  CHECK(contains(error, "forward"));
}

TEST_CASE("the first non-finite number is traced to the operation whose backward pass made it") {
  const Variable x = Variable::leaf(float64s({1, 0}));
  const DetectNonFinite scope;
  const std::string error = error_of([&] { backward(sum(square(sqrt(x) + 1))); });
  CHECK(contains(error, "sqrt"));
  CHECK(contains(error, "backward"));
  {
    const DetectNonFinite off(false);
    CHECK(error_of([&] { backward(sum(sqrt(x))); }).empty());
  }
  CHECK(contains(error_of([&] { sqrt(x - 1); }), "sqrt"));
}

TEST_CASE("an overflow of gradients that add up is traced to the operation whose gradient came last") {
  const Variable x = Variable::leaf(float64s({0.5}));
  const Variable y = square(x);
  const DetectNonFinite scope;
  // y gets two gradients of 1e308.
  const std::string error = error_of([&] { backward(sum(y * 1e308 + y * 1e308)); });
  CHECK(contains(error, "scale_shift: the backward pass"));
}

TEST_CASE("a backward pass that failed leaves nothing behind for the next") {
  const Variable x = Variable::leaf(float64s({1, 4})), zero = Variable::leaf(float64s({0, 0}));
  {
    const DetectNonFinite scope;
    // x's part has arrived by the time sqrt fails.
    const Variable early = sqrt(zero);
    CHECK(contains(error_of([&] { backward(sum(early + square(x))); }), "sqrt"));
    CHECK(contains(error_of([&] { backward(sum(square(x) + early)); }), "sqrt"));
  }
  x.on_gradient([](const Tensor& g) { CHECK(g.to_vector<double>() == std::vector<double>{3, 3}); });
  Variable fresh = x;
  fresh.clear_gradient();
  backward(sum(x * 3.0));
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{3, 3});
}

TEST_CASE("a non-finite number inside a checkpoint is traced to the operation, not to the checkpoint") {
  const Variable x = Variable::leaf(float64s({1, 0}));
  const DetectNonFinite scope;
  const Variable y = checkpoint([](const Inputs& in, Generator*) { return square(sqrt(in[0]) + 1); }, {x});
  CHECK(contains(error_of([&] { backward(sum(y)); }), "sqrt: the backward"));
}

TEST_CASE("float32 gradients agree with float64 gradients through a transformer's operations") {
  const std::vector<Tensor> inputs{random({2, 4, 6}), random({18, 6}, 2), random({6}, 3), random({7, 6}, 4)};
  const auto loss = [](const Inputs& in) {
    const Variable normed = layer_norm(in[0], in[2], {}, 1e-5);
    const Variable joint = reshape(linear(normed, in[1], {}, Activation::gelu), {2, 4, 3, 2, 3});
    const auto part = [&](int64_t i) { return reshape(slice(joint, 2, i, i + 1), {2, 4, 2, 3}); };
    const Variable mixed = attention(part(0), part(1), part(2), {});
    const Variable rows = reshape(rms_norm(reshape(mixed, {2, 4, 6}) + in[0], in[2], 1e-5), {8, 6});
    return linear_cross_entropy(rows, in[3], {}, int32s({0, 1, 2, 3, 4, 5, 6, 0}, {8}), {}).total;
  };
  check_first("float64", loss, inputs);
  Inputs single, twice;
  for (const Tensor& input : inputs) {
    single.push_back(Variable::leaf(cast(input, Dtype::float32)));
    twice.push_back(Variable::leaf(input));
  }
  backward(loss(single));
  backward(loss(twice));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor error = subtract(cast(single[i].gradient(), Dtype::float64), twice[i].gradient());
    const double scale = reduce(ReduceOp::max, unary(UnaryOp::absolute, twice[i].gradient())).item();
    CHECK(reduce(ReduceOp::max, unary(UnaryOp::absolute, error)).item() < 1e-5 * scale);
  }
}
