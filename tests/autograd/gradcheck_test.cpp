#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// x^3 with the rule factor * x^2.
Variable cube(const Variable& x, double factor) {
  return Tape::record("cube", multiply(x.value(), unary(UnaryOp::square, x.value())), {x},
                      [=](const Variable& g) { return Gradients{g * (square(x) * factor)}; });
}

}  // namespace

TEST_CASE("gradcheck passes a right rule and names the element where a wrong one differs") {
  const std::vector<Tensor> inputs{random({2, 2}), random({2, 2}, 2)};
  CHECK(gradcheck([](const Inputs& in) { return in[0] + cube(in[1], 3); }, inputs).passed);
  const GradcheckResult wrong =
      gradcheck([](const Inputs& in) { return in[0] + cube(in[1], 3.001); }, inputs);
  CHECK_FALSE(wrong.passed);
  CHECK(contains(wrong.message, "input 1, element [0, 0]"));
  CHECK(wrong.largest_error > 1e-4);
}

TEST_CASE("gradcheck does not pass a gradient that is not a number") {
  const auto f = [](const Inputs& in) {
    return Tape::record("broken", in[0].value(), {in[0]},
                        [](const Variable& g) { return Gradients{g * std::nan("")}; });
  };
  CHECK_FALSE(gradcheck(f, {random({2})}).passed);
}

TEST_CASE("gradcheck_second finds a rule whose value is right but whose own derivative is missing") {
  const auto f = [](const Inputs& in) {
    const Tensor x = in[0].value();
    return Tape::record("cube", multiply(x, unary(UnaryOp::square, x)), {in[0]}, [x](const Variable& g) {
      return Gradients{g * scale_shift(unary(UnaryOp::square, x), 3, 0)};
    });
  };
  CHECK(gradcheck(f, {random({3})}).passed);
  CHECK_FALSE(gradcheck_second(f, {random({3})}).passed);
  CHECK(gradcheck_second([](const Inputs& in) { return cube(in[0], 3); }, {random({3})}).passed);
}

TEST_CASE("gradcheck refuses inputs that are not float64") {
  CHECK(contains(error_of([] { gradcheck([](const Inputs& in) { return in[0]; }, {ones({2})}); }),
                 "input 0 is float32"));
}
