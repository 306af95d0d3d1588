#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

const char* const kActivations[] = {"none", "relu", "gelu", "gelu_tanh", "silu"};

struct LinearCase {
  Activation activation;
  bool bias, residual;

  Variable operator()(const Inputs& in) const {
    size_t next = 2;
    const Variable b = bias ? in[next++] : Variable();
    const Variable r = residual ? in[next++] : Variable();
    return linear(in[0], in[1], b, activation, r);
  }
  std::vector<Tensor> inputs(const Tensor& x, int64_t out) const {
    std::vector<Tensor> result{x, random({out, x.size(-1)}, 2)};
    if (bias) result.push_back(random({out}, 3));
    Shape shape = x.shape();
    shape[shape.rank() - 1] = out;
    if (residual) result.push_back(random(shape, 4));
    return result;
  }
};

std::vector<LinearCase> linear_cases() {
  std::vector<LinearCase> cases;
  for (int i = 0; i < 5; ++i) {
    for (const bool bias : {false, true}) {
      for (const bool residual : {false, true}) cases.push_back({static_cast<Activation>(i), bias, residual});
    }
  }
  return cases;
}

Variable activate(Activation activation, const Variable& x) {
  switch (activation) {
    case Activation::relu:
      return relu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    case Activation::silu:
      return silu(x);
    default:
      return x;
  }
}

double largest_difference(const Tensor& a, const Tensor& b) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, subtract(a, b))).item();
}

}  // namespace

TEST_CASE("matrix products, batched and broadcast, agree with central differences") {
  const std::vector<std::pair<Shape, Shape>> shapes{
      {{3, 4}, {4, 2}},          {{2, 3, 4}, {4, 2}},    {{2, 3, 4}, {2, 4, 2}}, {{3, 4}, {2, 4, 2}},
      {{2, 1, 3, 2}, {3, 2, 2}}, {{2, 3, 4}, {1, 4, 2}}, {{1, 1}, {1, 3}}};
  for (const auto& [a, b] : shapes) {
    check_first_and_second("matmul", [](const Inputs& in) { return matmul(in[0], in[1]); },
                           {random(a), random(b, 2)});
  }
}

TEST_CASE("matrix products of transposed, sliced and repeated operands agree with central differences") {
  const auto product = [](const Inputs& in) { return matmul(in[0], in[1]); };
  check_first("transposed a", product, {transpose(random({4, 3})), random({4, 2}, 2)});
  check_first("transposed b", product, {random({3, 4}), transpose(random({2, 4}, 2))});
  check_first("batch of transposed", product,
              {transpose(random({2, 4, 3})), transpose(random({2, 2, 4}, 2))});
  check_first("sliced", product, {slice(random({3, 8}), 1, 0, 8, 2), slice(random({8, 2}, 2), 0, 1, 8, 2)});
  check_first("repeated", product, {expand(random({1, 4}), {3, 4}), expand(random({4, 1}, 2), {2, 4, 2})});
  check_first("permuted heads", product, {transpose(random({2, 3, 2, 4}), 1, 2), random({4, 3}, 2)});
  check_first_and_second("on the tape",
                         [](const Inputs& in) { return matmul(transpose(in[0]), transpose(in[1])); },
                         {random({4, 3}), random({2, 4}, 2)});
  check_first_and_second("with itself", [](const Inputs& in) { return matmul(in[0], transpose(in[0])); },
                         {random({3, 2})});
}

TEST_CASE("linear with every activation, bias and residual has first and second derivatives") {
  for (const LinearCase& c : linear_cases()) {
    const std::string what = std::string("linear ") + kActivations[static_cast<int>(c.activation)];
    check_first(what, c, c.inputs(random({4}), 3));
    check_first(what, c, c.inputs(transpose(random({4, 3})), 2));
    check_first(what, c, c.inputs(transpose(random({2, 4, 3})), 2));
    check_first_and_second(what, c, c.inputs(random({2, 3, 4}), 5));
  }
}

TEST_CASE("linear equals its parts, forward and backward") {
  for (const LinearCase& c : linear_cases()) {
    const std::vector<Tensor> inputs = c.inputs(random({2, 3, 4}), 5);
    Inputs fused, apart;
    for (const Tensor& input : inputs) {
      fused.push_back(Variable::leaf(input));
      apart.push_back(Variable::leaf(input));
    }
    const Variable y = c(fused);
    Variable z = matmul(apart[0], transpose(apart[1]));
    if (c.bias) z = z + apart[2];
    z = activate(c.activation, z);
    if (c.residual) z = z + apart.back();
    CHECK(largest_difference(y.value(), z.value()) < 1e-12);
    const Tensor seed = random(y.shape(), 9);
    backward(y, seed);
    backward(z, seed);
    for (size_t i = 0; i < inputs.size(); ++i) {
      CHECK(largest_difference(fused[i].gradient(), apart[i].gradient()) < 1e-12);
    }
  }
}

TEST_CASE("linear computes only the gradients that are needed") {
  const Variable x = Variable::leaf(random({3, 4}));
  const Variable y = linear(x, random({2, 4}, 2), random({2}, 3), Activation::gelu);
  backward(sum(y));
  CHECK(x.gradient().shape() == Shape{3, 4});
  const Variable weight = Variable::leaf(random({2, 4}));
  backward(sum(linear(random({3, 4}), weight)));
  CHECK(weight.gradient().shape() == Shape{2, 4});
  const Variable residual = Variable::leaf(random({3, 2}));
  backward(sum(linear(random({3, 4}), random({2, 4}, 2), {}, Activation::gelu, residual)));
  CHECK(residual.gradient().to_vector<double>() == std::vector<double>(6, 1));
  const NoGradient off;
  const DetectNonFinite scope;  // looks at results, and the pre-activation is none
  CHECK_FALSE(linear(x, weight, {}, Activation::gelu).requires_gradient());
}

TEST_CASE("products of bfloat16 give the gradients of float32, to one rounding to bfloat16") {
  struct Product {
    const char* what;
    DifferentiableFunction f, bound;  // bound: f without what keeps it from being bilinear
    std::vector<Shape> shapes;
  };
  const auto product = [](const Inputs& in) { return matmul(in[0], in[1]); };
  const auto square = [](const Inputs& in) { return matmul(in[0], transpose(in[0])); };
  const auto gelu_linear = [](const Inputs& in) {
    return linear(in[0], in[1], full({5}, 0.1), Activation::gelu);
  };
  const auto plain_linear = [](const Inputs& in) { return linear(in[0], in[1]); };
  for (const Product& p : {Product{"matmul", product, product, {{3, 4}, {4, 2}}},
                           Product{"rows", product, product, {{2, 3, 4}, {4, 2}}},
                           Product{"broadcast", product, product, {{3, 4}, {2, 4, 2}}},
                           Product{"used twice", square, square, {{3, 4}}},
                           Product{"linear", plain_linear, plain_linear, {{2, 3, 4}, {5, 4}}},
                           Product{"linear with GELU", gelu_linear, plain_linear, {{2, 3, 4}, {5, 4}}}}) {
    Inputs wide, narrow, magnitudes, narrow_casts;
    for (size_t i = 0; i < p.shapes.size(); ++i) {
      const Tensor x = cast(cast(random(p.shapes[i], i + 1), Dtype::bfloat16), Dtype::float32);
      wide.push_back(Variable::leaf(x));
      narrow.push_back(Variable::leaf(x));
      magnitudes.push_back(Variable::leaf(unary(UnaryOp::absolute, x)));
      narrow_casts.push_back(cast(narrow.back(), Dtype::bfloat16));
    }
    const Variable y = p.f(wide), z = p.f(narrow_casts), m = p.bound(magnitudes);
    const Tensor seed = cast(cast(random(y.shape(), 9), Dtype::bfloat16), Dtype::float32);
    backward(y, seed);
    backward(z, cast(seed, z.dtype()));
    backward(m, unary(UnaryOp::absolute, seed));
    for (size_t i = 0; i < wide.size(); ++i) {
      INFO(p.what, ", input ", i);
      const Tensor difference = unary(UnaryOp::absolute, subtract(wide[i].gradient(), narrow[i].gradient()));
      // What is rounded is the gradient of the product: the seed times a slope of at most 1.13.
      const Tensor allowed = scale_shift(magnitudes[i].gradient(), 1.13 * 0x1p-8, 1e-5);
      CHECK(reduce(ReduceOp::max, subtract(difference, allowed)).item() <= 0);
    }
  }
}

TEST_CASE("linear says which shapes do not fit") {
  CHECK(contains(error_of([] {
                   linear(Variable(ones({2, 3})), Variable(ones({4, 5})));
                 }),
                 "linear: x has shape [2, 3], weight [4, 5]"));
  CHECK(contains(
      error_of([] {
        linear(Variable(ones({2, 3})), Variable(ones({4, 3})), {}, Activation::none, Variable(ones({2, 3})));
      }),
      "linear: residual has shape [2, 3], the result [2, 4]"));
}

TEST_CASE("attention under every kind of mask agrees with central differences") {
  AttentionOptions plain, causal, padded, blocks, packed, scaled;
  causal.causal = true;
  padded.key_lengths = int32s({5, 2}, {2});
  blocks.block_size = 2;
  blocks.block_mask = Tensor::from<uint8_t>({1, 0, 1, 0, 1, 1, 1, 0, 0}, {3, 3});
  scaled.scale = 0.9;
  scaled.causal = true;
  scaled.key_lengths = int32s({3, 5}, {2});
  const auto check = [](const char* what, const AttentionOptions& options,
                        const std::vector<Tensor>& inputs) {
    check_first(
        what, [&](const Inputs& in) { return attention(in[0], in[1], in[2], options); }, inputs);
  };
  const std::vector<Tensor> square{random({2, 5, 2, 3}), random({2, 5, 2, 3}, 2), random({2, 5, 2, 3}, 3)};
  check("no mask", plain, square);
  check("causal", causal, square);
  check("padded", padded, square);
  check("blocks", blocks, square);
  check("causal, padded, scaled", scaled, square);
  const std::vector<Tensor> cross{random({2, 3, 2, 3}), random({2, 5, 2, 3}, 2), random({2, 5, 2, 3}, 3)};
  check("more keys than queries", plain, cross);
  check("more keys than queries, causal", causal, cross);

  packed.query_offsets = int32s({0, 2, 6}, {3});
  const std::vector<Tensor> rows{random({1, 6, 2, 3}), random({1, 6, 2, 3}, 2), random({1, 6, 2, 3}, 3)};
  check("packed", packed, rows);
  packed.causal = true;
  check("packed, causal", packed, rows);

  const Tensor joint = random({2, 5, 3, 2, 3});  // query, key and value side by side, as one projection gives
  const auto part = [&](int64_t i) { return reshape(slice(joint, 2, i, i + 1), {2, 5, 2, 3}); };
  check("views", causal, {part(0), part(1), part(2)});
}

TEST_CASE("attention with dropout agrees with central differences and takes its counters") {
  AttentionOptions options;
  options.dropout = 0.3;
  const std::vector<Tensor> inputs{random({2, 5, 2, 3}), random({2, 5, 2, 3}, 2), random({2, 5, 2, 3}, 3)};
  const auto f = [&](const Inputs& in) {
    Generator generator(7);
    return attention(in[0], in[1], in[2], options, &generator);
  };
  check_first("attention with dropout", f, inputs);
  Generator generator(7);
  attention(inputs[0], inputs[1], Variable(inputs[2]), options, &generator);
  CHECK(generator.state().counter == attention_dropout_counters(inputs[0], inputs[1]));
  CHECK(contains(error_of([&] { attention(inputs[0], inputs[1], Variable(inputs[2]), options); }),
                 "generator"));
}

TEST_CASE("self-attention agrees with central differences and with attention of its three parts") {
  AttentionOptions packed;
  packed.query_offsets = int32s({0, 2, 6}, {3});
  AttentionOptions dropped = packed;
  dropped.dropout = 0.3;
  dropped.causal = true;
  for (const AttentionOptions& options : {packed, dropped}) {
    const auto fused = [&](const Inputs& in) {
      Generator generator(7);
      return self_attention(in[0], options, &generator);
    };
    const auto apart = [&](const Inputs& in) {
      const auto part = [&](int64_t i) { return reshape(slice(in[0], 1, i, i + 1), {1, 6, 2, 3}); };
      Generator generator(7);
      return reshape(attention(part(0), part(1), part(2), options, &generator), {6, 2, 3});
    };
    const Tensor qkv = random({6, 3, 2, 3});
    check_first("self_attention", fused, {qkv});
    const Variable x = Variable::leaf(qkv), y = Variable::leaf(qkv);
    const Tensor seed = random({6, 2, 3}, 2);
    const Variable a = fused({x}), b = apart({y});
    CHECK(largest_difference(a.value(), b.value()) < 1e-14);
    backward(a, seed);
    backward(b, seed);
    CHECK(largest_difference(x.gradient(), y.gradient()) < 1e-14);
  }
  const Variable x = Variable::leaf(random({6, 3, 2, 3}));
  CHECK(contains(error_of([&] { self_attention(x, dropped); }), "generator"));
  CHECK(contains(error_of([] { self_attention(Variable(ones({6, 2, 2, 3})), {}); }), "shape [6, 2, 2, 3]"));
}

TEST_CASE("cross-entropy with its projection agrees with central differences") {
  const Tensor targets = int32s({2, 0, 4, 4, 1}, {5});
  const Tensor weights = float64s({1, 0.5, 0, 2, 1});
  const std::vector<Tensor> inputs{random({5, 3}), random({6, 3}, 2), random({6}, 3)};
  check_first(
      "with bias",
      [&](const Inputs& in) {
        return linear_cross_entropy(in[0], in[1], in[2], targets, weights).total * 1.5;
      },
      inputs);
  check_first(
      "without bias",
      [&](const Inputs& in) { return linear_cross_entropy(in[0], in[1], {}, targets, weights).total; },
      {inputs[0], inputs[1]});
}

TEST_CASE("cross-entropy with its projection equals log_softmax of the logits") {
  const Tensor targets = int32s({2, 0, 4, 4, 1}, {5});
  const Tensor weights = float64s({1, 0.5, 0, 2, 1});
  const Tensor hidden = random({5, 3}), weight = random({6, 3}, 2), bias = random({6}, 3);
  const auto fused = [&](const Variable& h) {
    return linear_cross_entropy(h, weight, bias, targets, weights);
  };
  const auto apart = [&](const Variable& h) {
    const Variable rows = log_softmax(linear(h, weight, bias));
    return -gather(rows, 1, reshape(targets, {5, 1}));
  };
  const Variable h = Variable::leaf(hidden), k = Variable::leaf(hidden);
  const CrossEntropy loss = fused(h);
  const Variable losses = apart(k);
  const Variable total = sum(reshape(losses, {5}) * weights);
  CHECK(largest_difference(loss.losses, reshape(losses.value(), {5})) < 1e-12);
  CHECK(loss.total.value().item() == doctest::Approx(total.value().item()).epsilon(1e-12));
  backward(loss.total);
  backward(total);
  CHECK(largest_difference(h.gradient(), k.gradient()) < 1e-12);
  const NoGradient scope;
  CHECK(fused(h).total.value().item() == doctest::Approx(total.value().item()).epsilon(1e-12));
}
