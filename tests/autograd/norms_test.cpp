#include "gradients.h"

using namespace haze;
using namespace haze::testing;

TEST_CASE("layer norm with and without weight and bias has first and second derivatives") {
  for (const Tensor& x : {random({2, 3, 5}), transpose(random({5, 4})), random({6})}) {
    const Tensor weight = random({x.size(-1)}, 2), bias = random({x.size(-1)}, 3);
    check_first_and_second("layer_norm",
                           [](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 1e-5); },
                           {x, weight, bias});
    check_first_and_second("layer_norm", [](const Inputs& in) { return layer_norm(in[0], in[1], {}, 1e-5); },
                           {x, weight});
    check_first_and_second("layer_norm", [](const Inputs& in) { return layer_norm(in[0], {}, in[1], 1e-5); },
                           {x, bias});
    check_first_and_second("layer_norm", [](const Inputs& in) { return layer_norm(in[0], {}, {}, 1e-5); },
                           {x});
  }
}

TEST_CASE("RMS norm with and without weight has first and second derivatives") {
  for (const Tensor& x : {random({2, 3, 5}), transpose(random({5, 4})), random({6})}) {
    check_first_and_second("rms_norm", [](const Inputs& in) { return rms_norm(in[0], in[1], 1e-5); },
                           {x, random({x.size(-1)}, 2)});
    check_first_and_second("rms_norm", [](const Inputs& in) { return rms_norm(in[0], {}, 1e-5); }, {x});
  }
}

TEST_CASE("group norm has first and second derivatives that agree with central differences") {
  for (const int64_t groups : {1, 2, 4}) {
    const auto f = [=](const Inputs& in) { return group_norm(in[0], in[1], in[2], groups, 1e-3); };
    check_first_and_second("group_norm", f, {random({2, 4, 3, 2}), random({4}, 2), random({4}, 3)});
    check_first("group_norm", f, {transpose(random({2, 5, 4})), random({4}, 2), random({4}, 3)});
  }
  check_first_and_second("group_norm", [](const Inputs& in) { return group_norm(in[0], {}, {}, 2, 1e-3); },
                         {random({2, 6})});
}

TEST_CASE("group norm gives every group of channels mean 0 and variance 1") {
  const Tensor y = group_norm(Variable(random({3, 6, 4, 4})), {}, {}, 2, 0).value();
  const Tensor groups = reshape(y, {3, 2, 48});
  CHECK(reduce(ReduceOp::max, unary(UnaryOp::absolute, reduce(ReduceOp::mean, groups, {-1}))).item() < 1e-12);
  CHECK(reduce(ReduceOp::max, reduce(ReduceOp::variance, groups, {-1})).item() == doctest::Approx(1));
  CHECK(reduce(ReduceOp::min, reduce(ReduceOp::variance, groups, {-1})).item() == doctest::Approx(1));
}

TEST_CASE("group norm says which shapes do not fit") {
  const auto error = [](const Shape& x, const Variable& weight, int64_t groups) {
    return error_of([&] { group_norm(Variable(ones(x)), weight, {}, groups, 1e-5); });
  };
  CHECK(contains(error({2, 5, 3}, {}, 2), "group_norm: x has shape [2, 5, 3]"));
  CHECK(contains(error({2, 4, 3}, Variable(ones({2})), 2), "weight has shape [2], it takes [4]"));
}
