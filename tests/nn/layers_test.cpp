#include "haze/nn/layers.h"

#include <doctest/doctest.h>

#include "nn/networks.h"

namespace haze {
namespace {

using nn_test::affine;
using nn_test::check_gradients;
using nn_test::Inputs;
using nn_test::largest_difference;
using nn_test::Matrix;
using nn_test::Parameters;
using nn_test::randomise;
using nn_test::values;
using testing::error_of;
using testing::random;

const Activation kActivations[] = {Activation::none, Activation::relu, Activation::gelu,
                                   Activation::gelu_tanh, Activation::silu};

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::gelu:
      return nn_test::gelu_of(x);
    case Activation::gelu_tanh:
      return nn_test::gelu_tanh_of(x);
    case Activation::silu:
      return nn_test::silu_of(x);
    default:
      return x;
  }
}

void make_generic(Module& module) {
  module.to(Dtype::float64);
  randomise(module);
}

ForwardContext training_with(Generator& generator) {
  return {.training = true, .generator = &generator};
}

}  // namespace

TEST_CASE("linear: activation(x weight^T + bias) + residual, written out") {
  Generator generator(1);
  Linear layer(3, 4, generator);
  make_generic(layer);
  const Tensor x = random({5, 3}), residual = random({5, 4}, 2);
  const Parameters parameters(layer);
  const Matrix product = affine(Matrix(x), parameters["weight"], parameters["bias"]);
  for (const Activation activation : kActivations) {
    CAPTURE(static_cast<int>(activation));
    const Matrix expected = map(product, [&](double y) { return activate(activation, y); });
    CHECK(largest_difference(values(layer.forward(x, activation)), expected.elements) < 1e-12);
    CHECK(largest_difference(values(layer.forward(x, activation, residual)),
                             (expected + Matrix(residual)).elements) < 1e-12);
  }
}

TEST_CASE("linear: gradients agree with central differences for every activation, bias and residual") {
  Generator generator(1);
  for (const bool bias : {true, false}) {
    Linear layer(3, 2, generator, bias);
    make_generic(layer);
    for (const Activation activation : kActivations) {
      const std::string what = fmt::format("activation {}, bias {}", static_cast<int>(activation), bias);
      check_gradients(what, layer, {random({2, 2, 3})},
                      [&](const Inputs& in) { return layer.forward(in[0], activation); });
      check_gradients(what + ", residual", layer, {random({4, 3}), random({4, 2}, 2)},
                      [&](const Inputs& in) { return layer.forward(in[0], activation, in[1]); });
    }
  }
}

TEST_CASE("linear: weights start uniform in +-gain/sqrt(in), biases at zero") {
  Generator generator(5);
  const int64_t in = 100, out = 400;
  for (const double gain : {1.0, 0.25}) {
    const Linear layer(in, out, generator, true, gain);
    const double bound = gain / std::sqrt(static_cast<double>(in));
    double mean = 0, square = 0, largest = 0;
    for (const double w : values(layer.weight())) {
      mean += w / static_cast<double>(in * out);
      square += w * w / static_cast<double>(in * out);
      largest = std::max(largest, std::abs(w));
    }
    // Mean 0 and variance bound^2/3 within five standard errors: a confidence of 1 - 6e-7 each.
    const double root = std::sqrt(static_cast<double>(in * out));
    CHECK(largest <= bound * (1 + 1e-6));
    CHECK(std::abs(mean) < 5 * bound / std::sqrt(3.0) / root);
    CHECK(std::abs(square - bound * bound / 3) < 5 * bound * bound * std::sqrt(4.0 / 45) / root);
    for (const double b : values(layer.bias())) CHECK(b == 0);
  }
  const Linear nothing(3, 2, generator, true, 0);
  for (const double w : values(nothing.weight())) CHECK(w == 0);
}

TEST_CASE("layers: the same seed makes the same layer, and another seed another") {
  Generator first(11), second(11), third(12);
  const Linear a(8, 8, first), b(8, 8, second), c(8, 8, third);
  CHECK(values(a.weight()) == values(b.weight()));
  CHECK(values(a.weight()) != values(c.weight()));
}

TEST_CASE("layers: sizes that make no layer give a sentence") {
  Generator generator(1);
  CHECK(error_of([&] { Linear(0, 3, generator); }) == "Linear: 0 -> 3 is not a layer");
  CHECK(error_of([&] { Linear(3, -1, generator); }) == "Linear: 3 -> -1 is not a layer");
  CHECK(error_of([] { GroupNorm(3, 4); }) == "GroupNorm: 4 channels do not fall into 3 groups");
  CHECK(error_of([] { GroupNorm(0, 4); }) == "GroupNorm: 4 channels do not fall into 0 groups");
}

TEST_CASE("embedding: one row of the weight an id, of any shape; gradients of repeated ids add up") {
  Generator generator(1);
  Embedding layer(5, 3, generator);
  make_generic(layer);
  const Tensor ids = Tensor::from<int32_t>({4, 0, 2, 4, 4, 1}, {2, 3});
  const Variable y = layer.forward(ids);
  CHECK(y.shape() == Shape{2, 3, 3});
  const Matrix weight(layer.weight().value());
  const std::vector<double> rows = values(y);
  const std::vector<int32_t> flat = ids.to_vector<int32_t>();
  for (size_t i = 0; i < flat.size(); ++i) {
    for (size_t c = 0; c < 3; ++c) CHECK(rows[i * 3 + c] == weight(static_cast<size_t>(flat[i]), c));
  }
  check_gradients("embedding", layer, {}, [&](const Inputs&) { return layer.forward(ids); });
}

TEST_CASE("embedding: starts normal with the standard deviation that was asked for") {
  Generator generator(3);
  const Embedding layer(200, 200, generator, 0.1);
  double square = 0;
  for (const double w : values(layer.weight())) square += w * w / 40000;
  // The mean of n squares has the standard error s^2 sqrt(2/n): five of them, a confidence of 1 - 6e-7.
  CHECK(std::abs(square - 0.01) < 5 * 0.01 * std::sqrt(2.0 / 40000));
}

TEST_CASE("norms: layer norm with and without affine part, RMS norm and group norm, written out") {
  const Tensor x = random({4, 6});
  LayerNorm plain(6, 1e-5, false), layer(6);
  make_generic(layer);
  const Matrix expected = nn_test::standardised(Matrix(x), 1e-5);
  CHECK(largest_difference(values(plain.forward(x)), expected.elements) < 1e-12);
  const Parameters affine_part(layer);
  CHECK(largest_difference(values(layer.forward(x)), Matrix::made(4, 6, [&](size_t r, size_t c) {
                                                       return expected(r, c) * affine_part["weight"](0, c) +
                                                              affine_part["bias"](0, c);
                                                     }).elements) < 1e-12);

  RmsNorm rms(6);
  make_generic(rms);
  const Matrix m(x);
  const Matrix rms_expected = Matrix::made(4, 6, [&](size_t r, size_t c) {
    double square = 0;
    for (size_t k = 0; k < 6; ++k) square += m(r, k) * m(r, k) / 6;
    return m(r, c) / std::sqrt(square + 1e-6) * Parameters(rms)["weight"](0, c);
  });
  CHECK(largest_difference(values(rms.forward(x)), rms_expected.elements) < 1e-12);

  GroupNorm group(2, 4);
  make_generic(group);
  const Tensor image = random({3, 4, 5});  // two groups of two channels of five: rows of ten
  const Matrix group_rows = nn_test::standardised(Matrix(reshape(image, {6, 10})), 1e-5);
  const Parameters channel(group);
  const Matrix group_expected = Matrix::made(12, 5, [&](size_t r, size_t c) {
    return group_rows.elements[r * 5 + c] * channel["weight"](0, r % 4) + channel["bias"](0, r % 4);
  });
  CHECK(largest_difference(values(group.forward(image)), group_expected.elements) < 1e-12);
}

TEST_CASE("norms: a new norm has gain one and shift zero") {
  const Tensor x = cast(random({3, 8}), Dtype::float32);
  CHECK(values(LayerNorm(8).forward(x)) == values(LayerNorm(8, 1e-5, false).forward(x)));
  RmsNorm rms(8);
  for (const double w : values(*rms.parameters()[0].variable)) CHECK(w == 1);
}

TEST_CASE("norms: gradients agree with central differences") {
  LayerNorm plain(5, 1e-5, false), layer(5);
  RmsNorm rms(5);
  GroupNorm group(2, 4);
  make_generic(layer);
  make_generic(rms);
  make_generic(group);
  const Tensor x = random({3, 5});
  check_gradients("plain layer norm", plain, {x}, [&](const Inputs& in) { return plain.forward(in[0]); });
  check_gradients("layer norm", layer, {x}, [&](const Inputs& in) { return layer.forward(in[0]); });
  check_gradients("RMS norm", rms, {x}, [&](const Inputs& in) { return rms.forward(in[0]); });
  check_gradients("group norm", group, {random({2, 4, 3})},
                  [&](const Inputs& in) { return group.forward(in[0]); });
  check_gradients("group norm of images", group, {random({2, 4, 2, 2})},
                  [&](const Inputs& in) { return group.forward(in[0]); });
}

TEST_CASE("mlp: down(activation(up(x))) + residual, written out") {
  Generator generator(1);
  const Tensor x = random({3, 4}), residual = random({3, 4}, 2);
  for (const Activation activation : kActivations) {
    Mlp mlp(4, 6, activation, 0, generator);
    make_generic(mlp);
    const Parameters p(mlp);
    const Matrix inner = map(p.linear("up", Matrix(x)), [&](double y) { return activate(activation, y); });
    const Matrix expected = p.linear("down", inner);
    CHECK(largest_difference(values(mlp.forward(x, {})), expected.elements) < 1e-12);
    CHECK(largest_difference(values(mlp.forward(x, {}, residual)), (expected + Matrix(residual)).elements) <
          1e-12);
  }
}

TEST_CASE("mlp: gradients agree with central differences, also with dropout and a residual") {
  Generator start(1);
  for (const Activation activation : kActivations) {
    for (const double dropout : {0.0, 0.4}) {
      Mlp mlp(3, 5, activation, dropout, start);
      make_generic(mlp);
      const std::string what =
          fmt::format("activation {}, dropout {}", static_cast<int>(activation), dropout);
      check_gradients(what, mlp, {random({4, 3}), random({4, 3}, 2)}, [&](const Inputs& in) {
        Generator generator(9);
        return mlp.forward(in[0], training_with(generator), in[1]);
      });
    }
  }
}

TEST_CASE("mlp: dropout drops and scales the result, never the residual") {
  Generator start(1), generator(2);
  Mlp mlp(8, 16, Activation::gelu, 0.25, start);
  make_generic(mlp);
  const Tensor x = random({20, 8}), residual = random({20, 8}, 2);
  const std::vector<double> whole = values(mlp.forward(x, {}));
  const std::vector<double> trained = values(mlp.forward(x, training_with(generator), residual));
  const std::vector<double> kept_whole = residual.to_vector<double>();
  size_t dropped = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    const double branch = trained[i] - kept_whole[i];
    if (branch == 0) {
      ++dropped;
    } else {
      CHECK(branch == doctest::Approx(whole[i] / 0.75).epsilon(1e-9));
    }
  }
  // 160 draws: 40 expected, standard deviation 5.5; five of them are a confidence of 1 - 6e-7.
  CHECK(dropped > 12);
  CHECK(dropped < 68);
}

TEST_CASE("forward context: dropout is off outside training and draws nothing") {
  Generator generator(2);
  const Generator::State before = generator.state();
  const ForwardContext context{.training = false, .generator = &generator};
  const Variable x = random({4, 4});
  CHECK(values(context.drop(x, 0.5)) == values(x));
  CHECK(context.rate(0.5) == 0);
  CHECK(training_with(generator).rate(0.5) == 0.5);
  CHECK(values(training_with(generator).drop(x, 0)) == values(x));
  CHECK(generator.state() == before);
}

TEST_CASE("forward context: training with dropout and without a generator gives a sentence") {
  const ForwardContext context{.training = true, .generator = nullptr};
  CHECK(error_of([&] { context.drop(random({2}), 0.1); }) ==
        "dropout: training with dropout needs a generator");
  CHECK_NOTHROW(context.drop(random({2}), 0));
  CHECK_NOTHROW(ForwardContext{}.drop(random({2}), 0.1));
}

}  // namespace haze
