#include <limits>

#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

const std::vector<Shape> kAxes{{}, {0}, {1}, {2}, {-1}, {0, 1}, {0, 2}, {-1, 1}, {0, 1, 2}};

}  // namespace

TEST_CASE("every reduction over every choice of axes agrees with central differences") {
  const char* const names[] = {"sum", "mean", "max", "min", "logsumexp", "variance"};
  static_assert(std::size(names) == static_cast<size_t>(ReduceOp::kCount));
  for (int i = 0; i < static_cast<int>(ReduceOp::kCount); ++i) {
    for (const Shape& axes : kAxes) {
      for (const bool keep : {false, true}) {
        const double correction = keep ? 1 : 0;
        const auto f = [&](const Inputs& in) {
          return square(reduce(static_cast<ReduceOp>(i), in[0], axes, keep, correction));
        };
        check_first_and_second(names[i], f, {random({2, 3, 2})});
      }
    }
  }
}

TEST_CASE("reductions read strided inputs where they are") {
  for (int i = 0; i < static_cast<int>(ReduceOp::kCount); ++i) {
    for (const Shape& axes : {Shape{}, Shape{0}, Shape{-1}}) {
      const auto f = [&](const Inputs& in) { return square(reduce(static_cast<ReduceOp>(i), in[0], axes)); };
      check_first("reduce", f, {transpose(random({3, 4}))});
      check_first("reduce", f, {slice(random({3, 9}), 1, 1, 9, 3)});
    }
  }
}

TEST_CASE("elements equal to the maximum share its gradient") {
  const auto largest = [](const Variable& x) { return reduce(ReduceOp::max, x, {-1}); };
  CHECK(gradient_at(largest, Tensor::from<double>({1, 3, 3, 2, 3, 4, 1, 1}, {2, 4})) ==
        std::vector<double>{0, 0.5, 0.5, 0, 0, 1, 0, 0});
  const auto smallest = [](const Variable& x) { return reduce(ReduceOp::min, x); };
  CHECK(gradient_at(smallest, float64s({2, 2, 5, 2, 2})) == std::vector<double>{0.25, 0.25, 0, 0.25, 0.25});
}

TEST_CASE("the gradient of logsumexp of nothing but -infinity is 0") {
  const double lowest = -std::numeric_limits<double>::infinity();
  const auto f = [](const Variable& x) { return reduce(ReduceOp::logsumexp, x, {-1}); };
  CHECK(gradient_at(f, Tensor::from<double>({lowest, lowest, 0, lowest}, {2, 2})) ==
        std::vector<double>{0, 0, 1, 0});
}

TEST_CASE("sum_to agrees with central differences and costs nothing where shapes are equal") {
  for (const Shape& shape : {Shape{2, 3}, Shape{1, 3}, Shape{2, 1}, Shape{3}, Shape{1}, Shape{}}) {
    const auto f = [&](const Inputs& in) { return square(sum_to(in[0], shape)); };
    check_first_and_second("sum_to", f, {random({2, 3})});
  }
  const Variable x = Variable::leaf(random({2, 3}));
  CHECK(sum_to(x, {2, 3}).value().storage() == x.value().storage());
}

TEST_CASE(
    "softmax, log-softmax, sort and top-k on another axis than the last agree with central differences") {
  const Tensor x = random({4, 3, 2});
  for (int axis : {0, 1, -2}) {
    check_first_and_second("softmax", [=](const Inputs& in) { return square(softmax(in[0], axis)); }, {x});
    check_first_and_second("log_softmax", [=](const Inputs& in) { return square(log_softmax(in[0], axis)); },
                           {x});
    check_first("sort", [=](const Inputs& in) { return square(sort(in[0], true, axis).first); }, {x});
    check_first("top_k", [=](const Inputs& in) { return square(top_k(in[0], 2, axis).first); }, {x});
  }
}

TEST_CASE("softmax and log-softmax agree with central differences") {
  for (const Tensor& x : {random({3, 5}), transpose(random({5, 3})), random({4})}) {
    check_first_and_second("softmax", [](const Inputs& in) { return softmax(in[0]); }, {x});
    check_first_and_second("log_softmax", [](const Inputs& in) { return log_softmax(in[0]); }, {x});
  }
}

TEST_CASE("running sums agree with central differences on every axis") {
  for (const int axis : {0, 1, -1}) {
    const auto f = [=](const Inputs& in) { return square(cumulative_sum(in[0], axis)); };
    check_first_and_second("cumulative_sum", f, {random({2, 3, 4})});
    check_first("cumulative_sum", f, {transpose(random({2, 4, 3}))});
  }
}

TEST_CASE("sorted values send their gradient to where they came from") {
  for (const bool descending : {false, true}) {
    const auto f = [=](const Inputs& in) { return square(sort(in[0], descending).first); };
    check_first_and_second("sort", f, {random({3, 5})});
    check_first("sort", f, {transpose(random({5, 3}))});
  }
  const auto best = [](const Inputs& in) { return square(top_k(in[0], 2).first); };
  check_first_and_second("top_k", best, {random({3, 5})});
  check_first("top_k", best, {transpose(random({5, 3}))});
}

TEST_CASE("the gradient of logsumexp is softmax, to float32's last digits, however large its arguments are") {
  for (const double offset : {0.0, 1e4, -1e4}) {
    for (const Shape& axes : {Shape{}, Shape{0}, Shape{1}, Shape{0, 2}}) {
      const Tensor x = scale_shift(cast(random({3, 5, 4}), Dtype::float32), 1, offset);
      const Variable leaf = Variable::leaf(x), exact = Variable::leaf(cast(x, Dtype::float64));
      const auto f = [&](const Variable& v) { return sum(reduce(ReduceOp::logsumexp, v, axes)); };
      backward(f(leaf));
      // In float64 at arguments brought near 0, as e^x / sum(e^x).
      const Tensor e = unary(UnaryOp::exp, scale_shift(exact.value(), 1, -offset));
      const Tensor expected = divide(e, sum(e, axes, true));
      const Tensor error = subtract(cast(leaf.gradient(), Dtype::float64), expected);
      CHECK(reduce(ReduceOp::max, unary(UnaryOp::absolute, divide(error, expected))).item() < 1e-6);
    }
  }
}

TEST_CASE("the gradient of logsumexp is 0 where there is nothing to share") {
  const Tensor lowest = full({2, 3}, -std::numeric_limits<double>::infinity(), Dtype::float64);
  const auto f = [](const Variable& x) { return reduce(ReduceOp::logsumexp, x, {1}); };
  CHECK(gradient_at(f, lowest) == std::vector<double>(6, 0));
  CHECK(gradient_at(f, zeros({2, 0}, Dtype::float64)).empty());
  CHECK(gradient_at(f, zeros({0, 3}, Dtype::float64)).empty());
}
