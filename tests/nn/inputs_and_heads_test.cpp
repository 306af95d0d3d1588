#include <doctest/doctest.h>

#include "haze/nn/ema.h"
#include "haze/nn/heads.h"
#include "haze/nn/optimizer.h"
#include "haze/nn/safetensors.h"
#include "haze/nn/token_transformer.h"

#include "nn/networks.h"
#include "nn/temporary_folder.h"

namespace haze {
namespace {

using nn_test::check_gradients;
using nn_test::Inputs;
using nn_test::largest_difference;
using nn_test::Matrix;
using nn_test::Parameters;
using nn_test::random_ids;
using nn_test::randomise;
using nn_test::values;
using testing::error_of;
using testing::random;

std::vector<std::string> names(Module& module) {
  std::vector<std::string> result;
  for (const NamedParameter& parameter : module.parameters()) result.push_back(parameter.name);
  return result;
}

template <typename M>
void make_generic(M& module) {
  module.to(Dtype::float64);
  randomise(module, 7, 0.4);
}

double tanh_of(double x) {
  return std::tanh(x);
}

/// An embedding of four tokens and one more, and a head that is tied to it.
struct Tied : Module {
  explicit Tied(Generator generator = Generator(1), const TokenHeadOptions& options = {})
      : input(5, 3, generator), head(input.token_embedding(), 4, generator, options) {
    add_module("input", input);
    add_module("head", head);
  }
  Variable logits(const Tensor& ids) const { return head.logits(input.forward(ids)); }

  TokenInput input;
  TokenHead head;
};

}  // namespace

TEST_CASE("token input: the embedding of the id plus that of its type, written out, with its gradients") {
  Generator generator(1);
  TokenInput input(6, 4, generator, 2);
  make_generic(input);
  CHECK(names(input) == std::vector<std::string>{"token_embedding.weight", "type_embedding.weight"});
  const Tensor ids = Tensor::from<int32_t>({3, 0, 5}, {3}), types = Tensor::from<int32_t>({1, 0, 1}, {3});
  const Parameters parameters(input);
  const auto expected = Matrix::made(3, 4, [&](size_t r, size_t c) {
    const size_t id[] = {3, 0, 5}, type[] = {1, 0, 1};
    return parameters["token_embedding.weight"](id[r], c) + parameters["type_embedding.weight"](type[r], c);
  });
  CHECK(values(input.forward(ids, types)) == expected.elements);
  check_gradients("token input", input, {}, [&](const Inputs&) { return input.forward(ids, types); });
}

TEST_CASE("token input: types that are missing or not asked for give a sentence") {
  Generator generator(1);
  const TokenInput with(6, 4, generator, 2), without(6, 4, generator);
  const Tensor ids = random_ids(3, 6), types = random_ids(3, 2);
  CHECK(error_of([&] { with.forward(ids); }) == "TokenInput: it needs the type of each token");
  CHECK(error_of([&] { without.forward(ids, types); }) ==
        "TokenInput: it has no token types, but some are given");
  CHECK(error_of([&] { with.forward(ids, random_ids(2, 2)); }) ==
        "TokenInput: types have shape [2], ids [3]");
  CHECK(error_of([&] { TokenInput(6, 4, generator, -1); }) ==
        "TokenInput: vocabulary 6 and width 4 must be positive, token_types -1 not negative");
}

TEST_CASE("vector input and head: one linear layer, or linear, tanh, linear, with their gradients") {
  const Tensor x = random({5, 3}), h = random({5, 4}, 2);
  for (const VectorLayers layers : {VectorLayers::linear, VectorLayers::linear_tanh_linear}) {
    Generator generator(1);
    VectorInput input(3, 4, generator, layers);
    VectorHead head(4, 3, generator, layers);
    make_generic(input);
    make_generic(head);
    const bool two = layers == VectorLayers::linear_tanh_linear;
    const Parameters of_input(input), of_head(head);
    const Matrix first = of_input.linear("first", Matrix(x));
    const Matrix expected_input = two ? of_input.linear("second", map(first, tanh_of)) : first;
    const Matrix inner = two ? map(of_head.linear("first", Matrix(h)), tanh_of) : Matrix(h);
    CHECK(largest_difference(values(input.forward(x)), expected_input.elements) < 1e-13);
    CHECK(largest_difference(values(head.forward(h)), of_head.linear("last", inner).elements) < 1e-13);
    check_gradients("vector input", input, {x}, [&](const Inputs& in) { return input.forward(in[0]); });
    check_gradients("vector head", head, {h}, [&](const Inputs& in) { return head.forward(in[0]); });
  }
}

TEST_CASE("heads: a zero head starts with zeros") {
  Generator generator(1);
  const TokenHead tokens(4, 6, generator, {.zero = true});
  const VectorHead vectors(4, 3, generator, VectorLayers::linear_tanh_linear, true);
  const Tensor x = cast(random({5, 4}), Dtype::float32);
  CHECK(values(tokens.logits(x)) == std::vector<double>(5 * 6, 0));
  CHECK(values(vectors.forward(x)) == std::vector<double>(5 * 3, 0));
}

TEST_CASE("token head: logits and cross-entropy with every option, written out, with their gradients") {
  const Tensor h = random({5, 3}), targets = random_ids(5, 4), weights = random({5}, 3);
  for (const bool bias : {false, true}) {
    for (const bool transform : {false, true}) {
      TokenHeadOptions options;
      options.bias = bias;
      if (transform) options.transform = Activation::gelu;
      Generator generator(1);
      TokenHead head(3, 4, generator, options);
      make_generic(head);
      const Parameters parameters(head);
      Matrix inner(h);
      if (transform) {
        inner = map(parameters.linear("transform", inner), nn_test::gelu_of);
        inner = parameters.layer_norm("transform_norm", inner, 1e-12);
      }
      const Matrix expected = affine(inner, parameters["weight"], bias ? parameters["bias"] : Matrix(1, 4));
      CHECK(largest_difference(values(head.logits(h)), expected.elements) < 1e-12);

      const CrossEntropy loss = head.cross_entropy(h, targets, weights);
      double total = 0;
      for (size_t r = 0; r < 5; ++r) {
        double sum = 0;
        for (size_t c = 0; c < 4; ++c) sum += std::exp(expected(r, c));
        const auto target = static_cast<size_t>(targets.to_vector<int32_t>()[r]);
        total += weights.to_vector<double>()[r] * (std::log(sum) - expected(r, target));
      }
      CHECK(loss.total.value().item() == doctest::Approx(total).epsilon(1e-12));
      check_gradients("logits", head, {h}, [&](const Inputs& in) { return head.logits(in[0]); });
      check_gradients("cross-entropy", head, {h},
                      [&](const Inputs& in) { return head.cross_entropy(in[0], targets, weights).total; });

      // The same by row: -log p of the target, which an ignored one does not have.
      const RowLoss nll = [&](const Variable& logits, int64_t first, int64_t last) {
        const Tensor chosen = unsqueeze(slice(targets, 0, first, last), 1);
        return -reshape(gather(log_softmax(logits), 1, chosen), {last - first});
      };
      CHECK(largest_difference(values(head.loss(h, nll).losses), values(loss.losses)) < 1e-12);
      CHECK(head.loss(h, nll, weights).total.value().item() == doctest::Approx(total).epsilon(1e-12));
      const int32_t ignored = targets.to_vector<int32_t>()[0];
      const Tensor counted = compare(CompareOp::not_equal, targets, full({}, ignored, Dtype::int32));
      CHECK(
          head.cross_entropy(h, targets, weights, ignored).total.value().item() ==
          doctest::Approx(sum(multiply(multiply(loss.losses, weights), cast(counted, Dtype::float64))).item())
              .epsilon(1e-12));
    }
  }
}

TEST_CASE("token head: it draws what a linear layer draws") {
  Generator one(1), two(1);
  TokenHead head(3, 4, one);
  Linear layer(3, 4, two);
  CHECK(values(*head.parameters()[0].variable) == values(layer.weight()));
  CHECK(names(head) == names(layer));
  CHECK(one.state() == two.state());
}

TEST_CASE("tied weights: one parameter under its first name, counted once, with both gradients in it") {
  Tied model;
  CHECK(names(model) == std::vector<std::string>{"input.token_embedding.weight", "head.bias"});
  CHECK(names(model.head) == std::vector<std::string>{"weight", "bias"});
  CHECK(model.parameter_count() == 5 * 3 + 4);
  make_generic(model);
  const Tensor ids = Tensor::from<int32_t>({4, 0, 2}, {3}), targets = Tensor::from<int32_t>({1, 3, 0}, {3});
  check_gradients("tied logits", model, {}, [&](const Inputs&) { return model.logits(ids); });
  check_gradients("tied cross-entropy", model, {}, [&](const Inputs&) {
    return model.head.cross_entropy(model.input.forward(ids), targets, ones({3})).total;
  });
}

TEST_CASE("tied weights: after to(), both members are the new value") {
  Tied model;
  model.to(Dtype::float64);
  const Variable& weight = model.input.token_embedding().weight();
  CHECK(weight.dtype() == Dtype::float64);
  fill(weight.value(), 1);
  const Tensor ids = Tensor::from<int32_t>({0}, {1});
  CHECK(values(model.logits(ids)) == std::vector<double>(4, 3));
}

TEST_CASE("tied weights: AdamW steps them once, and clipping counts their gradient once") {
  Tied model;
  Tensor single = clone(model.input.token_embedding().weight().value());
  const Tensor bias = zeros({4});
  backward(sum(square(model.logits(Tensor::from<int32_t>({0, 4, 2}, {3})))));
  const std::vector<NamedParameter> parameters = model.parameters();
  const Tensor gradient = clone(parameters[0].variable->gradient());
  double norm = 0;
  clip_scale(parameters, 1, &norm);
  const std::vector<Tensor> gradients{gradient, parameters[1].variable->gradient()};
  CHECK(norm == doctest::Approx(global_norm(gradients)).epsilon(1e-7));

  AdamW optimizer(parameters, {.weight_decay = 0.1});
  CHECK(optimizer.state().size() == 2 * 3);
  const Tensor m = zeros({5, 3}), v = zeros({5, 3});
  for (int64_t step = 1; step <= 3; ++step) {
    optimizer.step(0.01);
    const std::vector<AdamWSlot> slots{{single, gradient, m, v}};
    adamw_step(slots, {.learning_rate = 0.01, .weight_decay = 0.1, .step = step});
  }
  CHECK(parameters[0].variable->value().to_vector<float>() == single.to_vector<float>());
  CHECK(Ema(parameters, 0.5).averages().size() == 2);
}

TEST_CASE("tied weights: a file holds them once, and reading it changes both members") {
  const nn_test::TemporaryFolder folder;
  Tied written(Generator(1)), read(Generator(2));
  save_parameters(written, folder.path() / "model.safetensors");
  const SafetensorsContents file = read_safetensors(folder.path() / "model.safetensors");
  REQUIRE(file.tensors.size() == 2);
  CHECK(file.tensors[0].name == "input.token_embedding.weight");
  CHECK(file.tensors[1].name == "head.bias");
  const Tensor ids = Tensor::from<int32_t>({0, 1, 4}, {3});
  REQUIRE(values(read.logits(ids)) != values(written.logits(ids)));
  load_parameters(read, folder.path() / "model.safetensors");
  CHECK(values(read.logits(ids)) == values(written.logits(ids)));
}

TEST_CASE("token head: an embedding that cannot be its weight gives a sentence") {
  Generator generator(1);
  Embedding embedding(5, 3, generator);
  CHECK(error_of([&] { TokenHead(embedding, 6, generator); }) ==
        "TokenHead: 6 tokens cannot be tied to an embedding of 5");
  CHECK(error_of([&] { TokenHead(embedding, 5, generator, {.zero = true}); }) ==
        "TokenHead: a weight that is tied to an embedding cannot start as zero");
  CHECK(error_of([&] { TokenHead(3, 0, generator); }) == "TokenHead: 3 -> 0 is not a layer");
}

TEST_CASE("token transformer: initial weights are drawn in the order of a network's parts") {
  TransformerConfig config;
  config.hidden = 8;
  config.layers = 2;
  config.heads = 2;
  config.mlp_ratio = 3;
  config.max_length = 6;
  config.time = TimeConditioning::adaptive;
  Generator generator(5), draws(5);
  TokenTransformer network(7, config, generator);
  std::vector<double> expected, got;
  const auto add = [&](const Tensor& drawn) {
    const std::vector<double> one = drawn.to_vector<double>();
    expected.insert(expected.end(), one.begin(), one.end());
  };
  const auto linear = [&](int64_t in, int64_t out, double gain = 1) {
    const double bound = gain / std::sqrt(static_cast<double>(in));
    add(uniform({out, in}, draws, -bound, bound));
  };
  add(normal({7, 8}, draws, 0, 0.02));
  add(normal({6, 8}, draws, 0, 0.02));
  linear(256, 8);  // the time embedding
  linear(8, 8);
  for (int block = 0; block < 2; ++block) {
    linear(8, 24);
    linear(8, 8, 0.5);  // 1 / sqrt(2 layers)
    linear(8, 24);
    linear(24, 8, 0.5);
  }
  for (const NamedParameter& parameter : network.parameters()) {
    const bool drawn = parameter.variable->rank() == 2 && !parameter.name.ends_with("modulation.weight");
    if (!drawn) continue;
    const std::vector<double> one = values(*parameter.variable);
    got.insert(got.end(), one.begin(), one.end());
  }
  CHECK(got == expected);
  CHECK(generator.state() == draws.state());
}

}  // namespace haze
