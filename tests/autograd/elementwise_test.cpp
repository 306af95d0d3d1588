#include <numbers>

#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// Values where `op` is defined and smooth.
Tensor domain_of(UnaryOp op, const Shape& shape) {
  switch (op) {
    case UnaryOp::sqrt:
    case UnaryOp::rsqrt:
    case UnaryOp::reciprocal:
    case UnaryOp::power:
    case UnaryOp::log:
      return random_between(0.3, 2, shape);
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::round:
      return random_between(0.1, 0.4, shape);  // between steps
    case UnaryOp::erfinv:
      return random_between(-0.9, 0.9, shape);
    case UnaryOp::log1p:
      return random_between(-0.6, 2, shape);
    default:
      return random_between(-2, 2, shape);
  }
}

DifferentiableFunction function_of(UnaryOp op) {
  const double a = op == UnaryOp::clamp ? -1 : 2.5, b = op == UnaryOp::clamp ? 0.5 : -0.75;
  return [=](const Inputs& in) { return unary(op, in[0], a, b); };
}

std::vector<UnaryOp> all_unary() {
  std::vector<UnaryOp> ops;
  for (int i = 0; i < static_cast<int>(UnaryOp::kCount); ++i) ops.push_back(static_cast<UnaryOp>(i));
  return ops;
}

std::vector<BinaryOp> all_binary() {
  std::vector<BinaryOp> ops;
  for (int i = 0; i < static_cast<int>(BinaryOp::kCount); ++i) ops.push_back(static_cast<BinaryOp>(i));
  return ops;
}

}  // namespace

TEST_CASE("every unary operation has a first and a second derivative that agree with central differences") {
  for (const UnaryOp op : all_unary()) {
    check_first_and_second(name(op), function_of(op), {domain_of(op, {3, 7})});
  }
}

TEST_CASE("unary operations read strided inputs where they are") {
  for (const UnaryOp op : all_unary()) {
    check_first(name(op), function_of(op), {transpose(domain_of(op, {3, 4}))});
    check_first(name(op), function_of(op), {slice(domain_of(op, {3, 8}), 1, 1, 8, 3)});
    check_first(name(op), function_of(op), {expand(domain_of(op, {3, 1}), {2, 3, 2})});
  }
}

TEST_CASE("powers with whole exponents have derivatives at negative numbers and at 0") {
  for (const double exponent : {0.0, 1.0, 2.0, 3.0}) {
    const auto f = [=](const Inputs& in) { return unary(UnaryOp::power, in[0], exponent); };
    check_first_and_second("power", f, {float64s({-1.5, 0, 0.5})});
  }
}

TEST_CASE("leaky ReLU has the derivative 1 above 0 and its slope elsewhere, at 0 too") {
  for (const double slope : {0.0, 0.2, 1.0}) {
    const auto f = [=](const Variable& x) { return leaky_relu(x, slope); };
    CHECK(gradient_at(f, float64s({-1, -0.0, 0, 1})) == std::vector<double>{slope, slope, slope, 1});
    CHECK(f(float64s({-2, 0, 3})).value().to_vector<double>() == std::vector<double>{-2 * slope, 0, 3});
    const auto curved = [=](const Inputs& in) { return square(leaky_relu(square(in[0]) - 1, slope)); };
    check_first_and_second("leaky_relu", curved, {random({3, 7})});
  }
  CHECK(leaky_relu(float64s({-1})).value().item() == -0.2);
}

TEST_CASE("at a kink the gradient is the stated one") {
  const auto at = [](UnaryOp op) {
    return gradient_at([=](const Variable& x) { return unary(op, x, -1, 1); }, float64s({-1, 0, 1}));
  };
  CHECK(at(UnaryOp::absolute) == std::vector<double>{-1, 0, 1});
  CHECK(at(UnaryOp::relu) == std::vector<double>{0, 0, 1});
  CHECK(at(UnaryOp::clamp) == std::vector<double>{1, 1, 1});
  CHECK(at(UnaryOp::sign) == std::vector<double>{0, 0, 0});
}

TEST_CASE("every binary operation, broadcast every way, agrees with central differences") {
  const std::vector<std::pair<Shape, Shape>> shapes{{{2, 3}, {2, 3}}, {{2, 3}, {3}},       {{2, 1}, {1, 3}},
                                                    {{}, {2, 3}},     {{2, 1}, {2, 2, 3}}, {{1}, {}}};
  for (const BinaryOp op : all_binary()) {
    const auto f = [=](const Inputs& in) { return binary(op, in[0], in[1]); };
    for (const auto& [x, y] : shapes) {
      check_first_and_second(name(op), f, {random(x), random_between(0.3, 2, y, 2)});
    }
    check_first(name(op), f, {transpose(random({3, 2})), slice(random_between(0.3, 2, {2, 6}), 1, 0, 6, 2)});
  }
}

TEST_CASE("the gradient of one input of a binary operation does not need the other's") {
  const Tensor c = random_between(0.3, 2, {2, 3}, 2);
  for (const BinaryOp op : all_binary()) {
    check_first_and_second(name(op), [=](const Inputs& in) { return binary(op, in[0], c); }, {random({3})});
    check_first_and_second(name(op), [=](const Inputs& in) { return binary(op, c, in[0]); },
                           {random_between(0.3, 2, {2, 1})});
  }
}

TEST_CASE("equal arguments of maximum and minimum share the gradient") {
  for (const BinaryOp op : {BinaryOp::maximum, BinaryOp::minimum}) {
    const Variable x = Variable::leaf(float64s({1, 2})), y = Variable::leaf(float64s({1, 3}));
    backward(sum(binary(op, x, y)));
    CHECK(x.gradient().at({0}) == 0.5);
    CHECK(y.gradient().at({0}) == 0.5);
    CHECK(x.gradient().at({1}) + y.gradient().at({1}) == 1);
    CHECK(y.gradient().at({1}) == (op == BinaryOp::maximum ? 1 : 0));
  }
}

TEST_CASE("operators agree with central differences") {
  const auto f = [](const Inputs& in) {
    const Variable &x = in[0], &y = in[1];
    return (-x + y) * (x - y) / (square(y) + 1.5) - 2.0 * x + (y - 0.5) * 3.0;
  };
  check_first_and_second("operators", f, {random({4}), random({4}, 2)});
}

TEST_CASE("where sends the gradient to the side that was taken") {
  const Tensor condition = compare(CompareOp::greater, random({4, 3}, 3), zeros({}, Dtype::float64));
  const auto f = [=](const Inputs& in) { return where(condition, square(in[0]), square(in[1])); };
  check_first_and_second("where", f, {random({4, 3}), random({3}, 2)});
  check_first_and_second("where", f, {random({4, 1}), random({2, 1, 3}, 2)});
  check_first("where", f, {transpose(random({3, 4})), random({}, 2)});
}

TEST_CASE("dropout multiplies the gradient by the mask it drew") {
  const auto f = [](const Inputs& in) {
    Generator generator(5);
    return dropout(square(in[0]), 0.4, generator);
  };
  check_first_and_second("dropout", f, {random({5, 7})});
  check_first("dropout", f, {transpose(random({5, 7}))});

  Generator generator(5);
  const Variable x = Variable::leaf(ones({100}, Dtype::float64));
  const Variable y = dropout(x, 0.25, generator);
  backward(sum(y));
  CHECK(x.gradient().to_vector<double>() == y.value().to_vector<double>());
  CHECK(generator.state().counter == dropout_counters(100));
}

TEST_CASE("dropout with probability 0 draws nothing and is the identity") {
  Generator generator(5);
  const Variable x = Variable::leaf(ones({4}));
  CHECK(dropout(x, 0, generator).value().storage() == x.value().storage());
  CHECK(generator.state().counter == 0);
}

TEST_CASE("the gradient of log_ndtr keeps its digits in both tails, in float32 too") {
  const auto at = [](double x) {
    const Variable leaf = Variable::leaf(full({}, x));
    backward(unary(UnaryOp::log_ndtr, leaf));
    return leaf.gradient().item();
  };
  // phi(x) / Phi(x): -x - 1/x + 2/x^3 - ... on the left, phi(x) on the right.
  CHECK(at(-100) == doctest::Approx(100.009998).epsilon(3e-7));
  CHECK(at(-1e4) == doctest::Approx(1e4 + 1e-4).epsilon(3e-7));
  CHECK(at(6) == doctest::Approx(std::exp(-18) / std::sqrt(2 * std::numbers::pi)).epsilon(1e-6));
}
