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

TEST_CASE("layer norm and RMS norm on another axis are those of the transposed tensor, bit for bit") {
  const Variable x = random({3, 4, 5}), weight = random({4}, 2), bias = random({4}, 3);
  const auto equal = [](const Variable& a, const Variable& b) {
    return a.shape() == b.shape() && a.value().to_vector<double>() == b.value().to_vector<double>();
  };
  for (const int axis : {1, -2}) {
    CHECK(equal(layer_norm(x, weight, bias, 1e-5, axis),
                transpose(layer_norm(transpose(x, 1, 2), weight, bias, 1e-5), 1, 2)));
    CHECK(
        equal(rms_norm(x, weight, 1e-5, axis), transpose(rms_norm(transpose(x, 1, 2), weight, 1e-5), 1, 2)));
  }
}

TEST_CASE("adaptive layer norm is layer norm, times 1 + the scale of the row's sequence, plus its shift") {
  const Variable x = random({5, 7}), modulation = random({3, 21}, 2);
  const Tensor index = int32s({2, 0, 0, 2, 0}, {5});  // sequence 1 has no rows
  const auto part = [&](int64_t i) { return slice(modulation, 1, 7 * i, 7 * (i + 1)); };
  const Variable expected =
      layer_norm(x, {}, {}, 1e-5) * (index_select(part(1), 0, index) + 1) + index_select(part(0), 0, index);
  const Variable y = adaptive_layer_norm(x, part(1), part(0), index, 1e-5);
  CHECK(global_norm(std::vector{subtract(y.value(), expected.value())}) < 1e-14);
  const Variable gated = gated_add(x, part(2), y, index);
  const Variable composed = x + index_select(part(2), 0, index) * expected;
  CHECK(global_norm(std::vector{subtract(gated.value(), composed.value())}) < 1e-14);
}

TEST_CASE("gradients of scale, shift and gate are sums over long sequences too, in any order of the rows") {
  // More rows a sequence than a chunk of the kernel has, in an order that mixes the sequences.
  std::vector<int32_t> sequence;
  for (int32_t row = 0; row < 500; ++row) sequence.push_back(row % 7 == 0 ? 1 : 0);
  const Tensor index = Tensor::from(sequence, {500});
  const Variable x = random({500, 3}), scale = Variable::leaf(random({3, 3}, 2)),
                 shift = Variable::leaf(random({3, 3}, 3)), g = random({500, 3}, 4);
  const Gradients fused =
      gradient(sum(adaptive_layer_norm(x, scale, shift, index, 1e-5) * g), {scale, shift});
  const Gradients composed = gradient(sum((layer_norm(x, {}, {}, 1e-5) * (index_select(scale, 0, index) + 1) +
                                           index_select(shift, 0, index)) *
                                          g),
                                      {scale, shift});
  const Gradients gate = gradient(sum(gated_add(x, scale, g, index) * g), {scale});
  const Gradients gate_composed = gradient(sum((x + index_select(scale, 0, index) * g) * g), {scale});
  const auto distance = [](const Variable& a, const Variable& b) {
    return global_norm(std::vector{subtract(a.value(), b.value())});
  };
  CHECK(distance(fused[0], composed[0]) < 1e-11);
  CHECK(distance(fused[1], composed[1]) < 1e-11);
  CHECK(distance(gate[0], gate_composed[0]) < 1e-11);
}
