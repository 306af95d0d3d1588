#include <limits>

#include <doctest/doctest.h>

#include "haze/nn/token_transformer.h"

#include "nn/transformer_reference.h"
#include "nn/transformers.h"

namespace haze {
namespace {

using nn_test::every_kind;
using nn_test::kNormsAndTimes;
using nn_test::largest_difference;
using nn_test::Matrix;
using nn_test::random_ids;
using nn_test::randomise;
using nn_test::Reference;
using nn_test::sequences_of;
using nn_test::ThreadScope;
using nn_test::title;
using nn_test::values;
using testing::error_of;
using testing::random;

constexpr int64_t kVocabulary = 7;

std::vector<std::string> names(Module& module) {
  std::vector<std::string> result;
  for (const NamedParameter& parameter : module.parameters()) result.push_back(parameter.name);
  return result;
}

std::vector<std::string> block_names(const std::string& block, bool affine_norms, bool modulation) {
  std::vector<std::string> result;
  const auto layer = [&](const std::string& name) {
    result.push_back(block + name + ".weight");
    result.push_back(block + name + ".bias");
  };
  if (affine_norms) layer("norm1");
  layer("attention.qkv");
  layer("attention.output");
  if (affine_norms) layer("norm2");
  layer("mlp.up");
  layer("mlp.down");
  if (modulation) layer("modulation");
  return result;
}

TransformerConfig small(NormPlacement norm, PositionKind positions,
                        TimeConditioning time = TimeConditioning::none) {
  TransformerConfig config;
  config.hidden = 8;
  config.layers = 2;
  config.heads = 2;
  config.mlp_ratio = 3;
  config.max_length = 6;
  config.norm = norm;
  config.positions = positions;
  config.time = time;
  return config;
}

}  // namespace

TEST_CASE("attention: softmax(q k / sqrt(size)) v of each head and sequence, written out") {
  const std::vector<int64_t> lengths{4, 1, 3};
  const Sequences sequences = Sequences::of_lengths(lengths);
  const Tensor x = random({8, 8}), residual = random({8, 8}, 2);
  for (const PositionKind positions : {PositionKind::learned, PositionKind::rotary}) {
    for (const bool causal : {false, true}) {
      TransformerConfig config = small(NormPlacement::pre, positions);
      config.causal = causal;
      CAPTURE(title(config));
      Generator generator(1);
      SelfAttention attention(config, generator, 1);
      attention.to(Dtype::float64);
      randomise(attention);
      const RotaryTable table = rotary_table(position_waves(8, 4), sequences.positions, Dtype::float64);
      const RotaryTable* rotary = positions == PositionKind::rotary ? &table : nullptr;
      const Matrix expected = Reference(attention, config, lengths).attention("", Matrix(x));
      CHECK(largest_difference(values(attention.forward(x, sequences, rotary, {})), expected.elements) <
            1e-12);
      CHECK(largest_difference(values(attention.forward(x, sequences, rotary, {}, residual)),
                               (expected + Matrix(residual)).elements) < 1e-12);
    }
  }
}

TEST_CASE("attention: dropout in training leaves the residual alone") {
  TransformerConfig config = small(NormPlacement::pre, PositionKind::learned);
  config.dropout = 0.4;
  Generator start(1);
  SelfAttention attention(config, start, 1);
  attention.to(Dtype::float64);
  randomise(attention);
  const Tensor x = random({6, 8}), residual = random({6, 8}, 2);
  const auto trained = [&](const Variable& added) {
    Generator generator(9);
    return attention.forward(x, sequences_of({4, 2}), nullptr, {.training = true, .generator = &generator},
                             added);
  };
  CHECK(values(trained(residual)) == values(trained({}) + residual));
}

TEST_CASE("transformer block: post-norm as BERT, pre-norm as GPT-2, adaptive as DiT, written out") {
  const std::vector<int64_t> lengths{2, 4, 1};
  const Tensor x = random({7, 8}), condition = random({3, 8}, 2);
  for (const auto& [norm, time] : kNormsAndTimes) {
    const TransformerConfig config = small(norm, PositionKind::learned, time);
    CAPTURE(title(config));
    Generator generator(1);
    TransformerBlock block(config, generator);
    block.to(Dtype::float64);
    randomise(block);
    const Matrix expected = Reference(block, config, lengths).block("", Matrix(x), Matrix(condition));
    const Variable y = block.forward(x, Sequences::of_lengths(lengths), {.condition = condition}, {});
    CHECK(largest_difference(values(y), expected.elements) < 1e-11);
  }
}

TEST_CASE("transformer: every norm placement, kind of positions and way for time to enter, written out") {
  const ThreadScope one(1);
  const std::vector<int64_t> lengths{3, 6, 1, 2};
  const std::vector<double> t{0.1, 0.5, 0.75, 1};
  const Tensor ids = random_ids(12, 7);
  for (TransformerConfig config : every_kind(small(NormPlacement::pre, PositionKind::learned))) {
    for (const bool causal : {false, true}) {
      config.causal = causal;
      CAPTURE(title(config));
      Generator generator(1);
      TokenTransformer network(kVocabulary, config, generator);
      network.to(Dtype::float64);
      randomise(network, 7, 0.3);
      const Tensor times = Tensor::from(t, {4});
      const Matrix waves(sinusoidal_embedding(scale_shift(times, 1000, 0), 256));
      const Matrix expected = Reference(network, config, lengths).network(ids.to_vector<int32_t>(), waves);
      const Variable y = network.forward(ids, Sequences::of_lengths(lengths), times, {});
      CHECK(largest_difference(values(y), expected.elements) < 1e-10);
    }
  }
}

TEST_CASE("transformer: an activation and an epsilon of its own replace those of the norm placement") {
  const std::vector<int64_t> lengths{2, 3};
  const Tensor ids = random_ids(5, kVocabulary);
  for (const NormPlacement norm : {NormPlacement::pre, NormPlacement::post}) {
    TransformerConfig config = small(norm, PositionKind::learned);
    config.activation = Activation::relu;
    config.norm_epsilon = 0.1;
    Generator generator(1);
    TokenTransformer network(kVocabulary, config, generator);
    network.to(Dtype::float64);
    randomise(network, 7, 0.3);
    const Matrix expected =
        Reference(network, config, lengths).network(ids.to_vector<int32_t>(), Matrix(2, 256));
    const Variable y = network.forward(ids, Sequences::of_lengths(lengths), {}, {});
    CHECK(largest_difference(values(y), expected.elements) < 1e-10);
  }
}

TEST_CASE("transformer: adaptive blocks start as the identity, so the network as the norm of its input") {
  const TransformerConfig config =
      small(NormPlacement::pre, PositionKind::learned, TimeConditioning::adaptive);
  Generator generator(1);
  const TransformerBlock block(config, generator);
  const Tensor x = cast(random({5, 8}), Dtype::float32), condition = cast(random({2, 8}), Dtype::float32);
  const Variable y = block.forward(x, sequences_of({3, 2}), {.condition = condition}, {});
  CHECK(values(y) == x.to_vector<double>());

  TokenTransformer network(kVocabulary, config, generator);
  const Tensor ids = random_ids(5, 7);
  const auto parameters = network.parameters();
  const Variable embedded = embedding(*parameters[0].variable, ids) +
                            embedding(*parameters[1].variable, sequences_of({3, 2}).positions);
  const std::vector<double> expected = values(LayerNorm(8, 1e-5, false).forward(embedded));
  for (const float t : {0.0f, 0.4f, 1.0f}) {
    CHECK(values(network.forward(ids, sequences_of({3, 2}), full({2}, t), {})) == expected);
  }
}

TEST_CASE("transformer: a causal row does not depend on the rows after it, another does") {
  for (const bool causal : {true, false}) {
    TransformerConfig config = small(NormPlacement::pre, PositionKind::rotary);
    config.causal = causal;
    Generator generator(1);
    const TokenTransformer network(kVocabulary, config, generator);
    const Sequences sequences = sequences_of({4});
    const Matrix a(network.forward(Tensor::from<int32_t>({1, 2, 3, 4}, {4}), sequences, {}, {}).value());
    const Matrix b(network.forward(Tensor::from<int32_t>({1, 2, 3, 6}, {4}), sequences, {}, {}).value());
    bool equal = true;
    for (size_t i = 0; i < 3 * 8; ++i) equal = equal && a.elements[i] == b.elements[i];
    CHECK(equal == causal);
  }
}

TEST_CASE("transformer: parameter names of two layers of each placement") {
  const auto expected = [](const std::vector<std::vector<std::string>>& parts) {
    std::vector<std::string> result;
    for (const auto& part : parts) result.insert(result.end(), part.begin(), part.end());
    return result;
  };
  Generator generator(1);
  TokenTransformer pre(kVocabulary, small(NormPlacement::pre, PositionKind::learned), generator);
  CHECK(names(pre) == expected({{"token_embedding.weight", "position_embedding.weight"},
                                block_names("blocks.0.", true, false),
                                block_names("blocks.1.", true, false),
                                {"final_norm.weight", "final_norm.bias"}}));
  TokenTransformer post(kVocabulary, small(NormPlacement::post, PositionKind::sinusoidal), generator);
  CHECK(names(post) == expected({{"token_embedding.weight"},
                                 block_names("blocks.0.", true, false),
                                 block_names("blocks.1.", true, false),
                                 {"embedding_norm.weight", "embedding_norm.bias"}}));
  TokenTransformer adaptive(
      kVocabulary, small(NormPlacement::pre, PositionKind::rotary, TimeConditioning::adaptive), generator);
  CHECK(names(adaptive) ==
        expected({{"token_embedding.weight", "time_embedding.first.weight", "time_embedding.first.bias",
                   "time_embedding.second.weight", "time_embedding.second.bias"},
                  block_names("blocks.0.", false, true),
                  block_names("blocks.1.", false, true),
                  {"final_modulation.weight", "final_modulation.bias"}}));
  CHECK(block_names("blocks.1.", true, false) ==
        std::vector<std::string>{"blocks.1.norm1.weight", "blocks.1.norm1.bias",
                                 "blocks.1.attention.qkv.weight", "blocks.1.attention.qkv.bias",
                                 "blocks.1.attention.output.weight", "blocks.1.attention.output.bias",
                                 "blocks.1.norm2.weight", "blocks.1.norm2.bias", "blocks.1.mlp.up.weight",
                                 "blocks.1.mlp.up.bias", "blocks.1.mlp.down.weight",
                                 "blocks.1.mlp.down.bias"});
}

TEST_CASE("transformer: the parameter count is its closed form") {
  for (const TransformerConfig& c : every_kind(small(NormPlacement::pre, PositionKind::learned))) {
    CAPTURE(title(c));
    const int64_t h = c.hidden, inner = c.mlp_ratio * h;
    const bool adaptive = c.adaptive();
    const int64_t time = 256 * h + h + h * h + h;
    const int64_t attention = h * 3 * h + 3 * h + h * h + h, mlp = h * inner + inner + inner * h + h;
    const int64_t block = attention + mlp + (adaptive ? h * 6 * h + 6 * h : 4 * h);
    const int64_t end = adaptive ? h * 2 * h + 2 * h : 2 * h;
    const int64_t times = c.time == TimeConditioning::none        ? 0
                          : c.time == TimeConditioning::per_layer ? c.layers
                                                                  : 1;
    const int64_t embeddings = (kVocabulary + (c.positions == PositionKind::learned ? c.max_length : 0)) * h;
    Generator generator(1);
    CHECK(TokenTransformer(kVocabulary, c, generator).parameter_count() ==
          embeddings + times * time + c.layers * block + end);
  }
}

TEST_CASE("transformer: before training a head predicts every token about equally: a loss of ln V") {
  const ThreadScope one(1);
  const int64_t vocabulary = 200, rows = 400;
  TransformerConfig base = small(NormPlacement::pre, PositionKind::learned);
  base.hidden = 32;
  base.max_length = 40;
  const Tensor ids = random_ids(rows, vocabulary), targets = random_ids(rows, vocabulary, 4);
  const std::vector<int64_t> lengths(10, 40);
  for (const TransformerConfig& config : every_kind(base)) {
    CAPTURE(title(config));
    Generator generator(1);
    const TokenTransformer network(vocabulary, config, generator);
    const Variable hidden =
        network.forward(ids, Sequences::of_lengths(lengths), uniform({10}, generator), {});
    const auto loss = [&](const Linear& head) {
      const Tensor weights = full({rows}, 1.0 / static_cast<double>(rows));
      return linear_cross_entropy(hidden, head.weight(), head.bias(), targets, weights).total.value().item();
    };
    const double uniform_loss = std::log(static_cast<double>(vocabulary));
    CHECK(loss(Linear(32, vocabulary, generator, true, 0)) == doctest::Approx(uniform_loss).epsilon(1e-5));
    // A normalised row of 32 times weights of variance 1 / (3 x 32) are logits of variance s = 1/3, and the
    // expected log of a mean of exponentials is close to s / 2.
    CHECK(std::abs(loss(Linear(32, vocabulary, generator)) - (uniform_loss + 1.0 / 6)) < 0.1);
  }
}

TEST_CASE("transformer: configurations that make no network give a sentence") {
  const auto error = [](auto change) {
    TransformerConfig config = small(NormPlacement::pre, PositionKind::rotary);
    change(config);
    Generator generator(1);
    return error_of([&] { TokenTransformer(kVocabulary, config, generator); });
  };
  CHECK(error([](TransformerConfig&) {}).empty());
  CHECK(error([](TransformerConfig& c) { c.layers = 0; }) ==
        "Transformer: hidden 8, layers 0, heads 2, mlp_ratio 3 and max_length 6 must be positive");
  CHECK(error_of([] {
          Generator generator(1);
          TokenTransformer(-1, small(NormPlacement::pre, PositionKind::rotary), generator);
        }) == "TokenInput: vocabulary -1 and width 8 must be positive, token_types 0 not negative");
  CHECK(error([](TransformerConfig& c) { c.heads = 3; }) ==
        "Transformer: hidden 8 is not a multiple of heads 3");
  CHECK(error([](TransformerConfig& c) { c.heads = 8; }) ==
        "Transformer: rotary positions need an even head size, hidden 8 / heads 8 is 1");
  CHECK(error([](TransformerConfig& c) { c.dropout = 1; }) == "Transformer: dropout 1 is not in [0, 1)");
  CHECK(error([](TransformerConfig& c) { c.dropout = std::numeric_limits<double>::quiet_NaN(); }) ==
        "Transformer: dropout nan is not in [0, 1)");
  CHECK(error([](TransformerConfig& c) { c.norm_epsilon = 0; }) ==
        "Transformer: norm_epsilon 0 is not positive");
  CHECK(error([](TransformerConfig& c) {
          c.norm = NormPlacement::post;
          c.time = TimeConditioning::adaptive;
        }) == "Transformer: adaptive norms stand before attention and MLP, not after them");
}

TEST_CASE("transformer: inputs that do not fit give a sentence") {
  Generator generator(1);
  const TokenTransformer network(
      kVocabulary, small(NormPlacement::pre, PositionKind::learned, TimeConditioning::adaptive), generator);
  const Sequences two = sequences_of({3, 2});
  const Tensor ids = random_ids(5, 7), t = zeros({2});
  const auto error = [&](const Tensor& given_ids, const Sequences& sequences, const Tensor& given_t) {
    return error_of([&] { network.forward(given_ids, sequences, given_t, {}); });
  };
  CHECK(error(ids, two, t).empty());
  CHECK(error(random_ids(4, 7), two, t) == "Transformer: ids have shape [4], the sequences 5 rows");
  CHECK(error(reshape(ids, {1, 5}), two, t) == "Transformer: ids have shape [1, 5], the sequences 5 rows");
  CHECK(error(random_ids(7, 7), sequences_of({7}), zeros({1})) ==
        "Transformer: a sequence of 7 tokens is longer than max_length 6");
  const std::string time = "Transformer: adaptive norms need a time for each of the 2 sequences";
  CHECK(error(ids, two, {}) == time);
  CHECK(error(ids, two, zeros({5})) == time);
  CHECK(error(ids, two, zeros({2, 1})) == time);
  CHECK(testing::contains(error(Tensor::from<int32_t>({0, 1, 7, 2, 3}, {5}), two, t), "7"));
  CHECK(testing::contains(error(Tensor::from<int32_t>({0, 1, -1, 2, 3}, {5}), two, t), "-1"));
  CHECK(testing::contains(error(cast(ids, Dtype::float32), two, t), "float32"));
  const std::pair<TimeConditioning, const char*> needs[] = {
      {TimeConditioning::added, "time embeddings need"},
      {TimeConditioning::per_layer, "time embeddings need"},
      {TimeConditioning::prefix, "time prefixes need"}};
  for (const auto& [way, subject] : needs) {
    const Transformer stack(small(NormPlacement::pre, PositionKind::learned, way), generator);
    CHECK(error_of([&] {
            stack.forward(zeros({5, 8}), two, {}, {});
          }) == fmt::format("Transformer: {} a time for each of the 2 sequences", subject));
    CHECK(error_of([&] {
            stack.forward(zeros({5, 4}), two, t, {});
          }) == "Transformer: x has shape [5, 4], it takes [5, 8]: a row for each of the sequences' rows");
  }
  const TransformerBlock block(network.config(), generator);
  CHECK(error_of([&] {
          block.forward(zeros({5, 8}), two, {}, {});
        }) == "linear: x and weight must be defined");
}

TEST_CASE("transformer: dropout acts in training only, at the embedding and at three places a block") {
  TransformerConfig config = small(NormPlacement::pre, PositionKind::learned);
  Generator first(1), second(1), generator(2);
  const TokenTransformer plain(kVocabulary, config, first);
  config.dropout = 0.3;
  const TokenTransformer network(kVocabulary, config, second);
  const Sequences sequences = sequences_of({5, 3});
  const Tensor ids = random_ids(8, 7);
  const std::vector<double> expected = values(plain.forward(ids, sequences, {}, {}));
  const ForwardContext evaluation{.training = false, .generator = &generator};
  CHECK(values(network.forward(ids, sequences, {}, evaluation)) == expected);
  CHECK(generator.state().counter == 0);

  const ForwardContext training{.training = true, .generator = &generator};
  const std::vector<double> trained = values(network.forward(ids, sequences, {}, training));
  CHECK(trained != expected);
  const Tensor query = zeros({1, 8, 2, 4});
  CHECK(generator.state().counter ==
        dropout_counters(8 * 8) * (1 + 2 * 2) + 2 * attention_dropout_counters(query, query));
  CHECK(values(network.forward(ids, sequences, {}, training)) != trained);
  generator.set_state({.seed = 2, .stream = 0, .counter = 0});
  CHECK(values(network.forward(ids, sequences, {}, training)) == trained);

  CHECK(error_of([&] { network.forward(ids, sequences, {}, {.training = true, .generator = nullptr}); }) ==
        "dropout: training with dropout needs a generator");
  CHECK_NOTHROW(plain.forward(ids, sequences, {}, {.training = true, .generator = nullptr}));
}

}  // namespace haze
