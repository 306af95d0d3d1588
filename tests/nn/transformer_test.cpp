#include <complex>
#include <limits>

#include <doctest/doctest.h>

#include "haze/nn/token_transformer.h"

#include "nn/transformers.h"

namespace haze {
namespace {

using nn_test::every_kind;
using nn_test::kNormsAndTimes;
using nn_test::largest_difference;
using nn_test::Matrix;
using nn_test::Parameters;
using nn_test::random_ids;
using nn_test::randomise;
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

/// The formulas of the papers, for rows of sequences of the given lengths, in loops.
class Reference {
 public:
  Reference(Module& module, const TransformerConfig& config, std::vector<int64_t> lengths)
      : parameters_(module), config_(config), lengths_(std::move(lengths)) {}

  Matrix attention(const std::string& name, const Matrix& x) const {
    const Matrix qkv = parameters_.linear(name + "qkv", x);
    Matrix mixed(x.rows, x.columns);
    size_t first = 0;
    for (const int64_t length : lengths_) {
      for (size_t head = 0; head < heads(); ++head) {
        for (size_t i = 0; i < static_cast<size_t>(length); ++i) {
          attend(qkv, first, static_cast<size_t>(length), head, i, mixed);
        }
      }
      first += static_cast<size_t>(length);
    }
    return parameters_.linear(name + "output", mixed);
  }

  Matrix mlp(const std::string& name, const Matrix& x) const {
    const bool bert = config_.norm == NormPlacement::post;
    const Matrix inner = map(parameters_.linear(name + "up", x),
                             [&](double y) { return bert ? nn_test::gelu_of(y) : nn_test::gelu_tanh_of(y); });
    return parameters_.linear(name + "down", inner);
  }

  /// `condition` has a row for each sequence: what adaptive norms are computed from, or the waves of t where
  /// time enters otherwise.
  Matrix block(const std::string& name, const Matrix& x, const Matrix& condition) const {
    const std::string attention_name = name + "attention.", mlp_name = name + "mlp.";
    const bool per_layer = config_.time == TimeConditioning::per_layer;
    const Matrix added = per_layer ? of_rows(time_embedding(name, condition)) : Matrix(x.rows, x.columns);
    if (config_.norm == NormPlacement::post) {
      const Matrix y =
          parameters_.layer_norm(name + "norm1", x + attention(attention_name, x) + added, 1e-12);
      return parameters_.layer_norm(name + "norm2", y + mlp(mlp_name, y), 1e-12);
    }
    if (config_.time != TimeConditioning::adaptive) {
      const Matrix y = x + attention(attention_name, parameters_.layer_norm(name + "norm1", x, 1e-5)) + added;
      return y + mlp(mlp_name, parameters_.layer_norm(name + "norm2", y, 1e-5));
    }
    const Matrix m = parameters_.linear(name + "modulation", condition);
    const Matrix y = x + gated(attention(attention_name, modulated(x, m, 0, 1)), m, 2);
    return y + gated(mlp(mlp_name, modulated(y, m, 3, 4)), m, 5);
  }

  /// `waves` has the sinusoidal embedding of 1000 t for each sequence.
  Matrix network(const std::vector<int32_t>& ids, const Matrix& waves) {
    Matrix x = embedded(ids), condition = waves;
    if (config_.time == TimeConditioning::adaptive)
      condition = map(time_embedding("", waves), nn_test::silu_of);
    if (config_.time == TimeConditioning::added) x = x + of_rows(time_embedding("", waves));
    if (config_.time != TimeConditioning::prefix) return stack(std::move(x), condition);

    x = with_prefixes(x, time_embedding("", waves));
    for (int64_t& length : lengths_) ++length;
    prefixed_ = true;
    const Matrix y = stack(std::move(x), condition);
    prefixed_ = false;
    for (int64_t& length : lengths_) --length;
    return without_prefixes(y);
  }

 private:
  Matrix stack(Matrix x, const Matrix& condition) const {
    if (config_.norm == NormPlacement::post) x = parameters_.layer_norm("embedding_norm", x, 1e-12);
    for (int64_t i = 0; i < config_.layers; ++i) x = block(fmt::format("blocks.{}.", i), x, condition);
    if (config_.norm == NormPlacement::post) return x;
    if (config_.time != TimeConditioning::adaptive) return parameters_.layer_norm("final_norm", x, 1e-5);
    return modulated(x, parameters_.linear("final_modulation", condition), 0, 1);
  }

  /// Linear, SiLU, linear of the waves of each sequence.
  Matrix time_embedding(const std::string& name, const Matrix& waves) const {
    const Matrix inner = map(parameters_.linear(name + "time_embedding.first", waves), nn_test::silu_of);
    return parameters_.linear(name + "time_embedding.second", inner);
  }
  /// A row for each row of the sequences: that of its sequence.
  Matrix of_rows(const Matrix& of_sequences) const {
    size_t rows = 0;
    for (const int64_t length : lengths_) rows += static_cast<size_t>(length);
    return Matrix::made(rows, hidden(), [&](size_t r, size_t c) { return part(of_sequences, r, 0, c); });
  }
  Matrix with_prefixes(const Matrix& x, const Matrix& prefixes) const {
    Matrix y(x.rows + prefixes.rows, x.columns);
    y.elements.clear();
    auto next = x.elements.begin();
    for (size_t i = 0; i < lengths_.size(); ++i) {
      const auto prefix = prefixes.elements.begin() + static_cast<std::ptrdiff_t>(i * hidden());
      const auto end = next + lengths_[i] * config_.hidden;
      y.elements.insert(y.elements.end(), prefix, prefix + config_.hidden);
      y.elements.insert(y.elements.end(), next, end);
      next = end;
    }
    return y;
  }
  Matrix without_prefixes(const Matrix& x) const {
    Matrix y(x.rows - lengths_.size(), x.columns);
    y.elements.clear();
    auto next = x.elements.begin();
    for (const int64_t length : lengths_) {
      next += config_.hidden;
      y.elements.insert(y.elements.end(), next, next + length * config_.hidden);
      next += length * config_.hidden;
    }
    return y;
  }

  size_t heads() const { return static_cast<size_t>(config_.heads); }
  size_t hidden() const { return static_cast<size_t>(config_.hidden); }

  /// Part 0 (query) or 1 (key) of one row and head, as complex numbers of the pairs (i, i + half) turned by
  /// the position where positions are rotary.
  std::vector<std::complex<double>> pairs(const Matrix& qkv, size_t row, size_t part, size_t head,
                                          size_t position) const {
    const size_t size = hidden() / heads(), half = size / 2, start = part * hidden() + head * size;
    std::vector<std::complex<double>> result;
    for (size_t i = 0; i < half; ++i) {
      const double frequency = std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(size));
      const double angle =
          config_.positions == PositionKind::rotary ? static_cast<double>(place(position)) * frequency : 0;
      result.push_back(std::complex<double>(qkv(row, start + i), qkv(row, start + half + i)) *
                       std::polar(1.0, angle));
    }
    return result;
  }

  /// The position of a row of a sequence; a prefix stands at 0 and moves no other.
  size_t place(size_t row) const { return prefixed_ && row > 0 ? row - 1 : row; }

  /// Row first + i of `mixed`, for one head: softmax(q k / sqrt(size)) v over the sequence.
  void attend(const Matrix& qkv, size_t first, size_t length, size_t head, size_t i, Matrix& mixed) const {
    const size_t size = hidden() / heads(), keys = config_.causal ? i + 1 : length;
    const auto query = pairs(qkv, first + i, 0, head, i);
    std::vector<double> weights(keys);
    double total = 0;
    for (size_t j = 0; j < keys; ++j) {
      const auto key = pairs(qkv, first + j, 1, head, j);
      double dot = 0;
      for (size_t p = 0; p < query.size(); ++p) dot += (query[p] * std::conj(key[p])).real();
      total += weights[j] = std::exp(dot / std::sqrt(static_cast<double>(size)));
    }
    for (size_t c = head * size; c < (head + 1) * size; ++c) {
      for (size_t j = 0; j < keys; ++j) {
        mixed(first + i, c) += weights[j] / total * qkv(first + j, 2 * hidden() + c);
      }
    }
  }

  /// The part of a modulation that belongs to a row: that of its sequence.
  double part(const Matrix& m, size_t row, size_t which, size_t column) const {
    size_t sequence = 0, end = static_cast<size_t>(lengths_[0]);
    while (row >= end) end += static_cast<size_t>(lengths_[++sequence]);
    return m(sequence, which * hidden() + column);
  }
  Matrix gated(const Matrix& x, const Matrix& m, size_t gate) const {
    return Matrix::made(x.rows, x.columns, [&](size_t r, size_t c) { return part(m, r, gate, c) * x(r, c); });
  }
  Matrix modulated(const Matrix& x, const Matrix& m, size_t shift, size_t scale) const {
    const Matrix y = nn_test::standardised(x, 1e-5);
    return Matrix::made(y.rows, y.columns, [&](size_t r, size_t c) {
      return y(r, c) * (1 + part(m, r, scale, c)) + part(m, r, shift, c);
    });
  }

  Matrix embedded(const std::vector<int32_t>& ids) const {
    Matrix x(ids.size(), hidden());
    size_t row = 0;
    for (const int64_t length : lengths_) {
      for (size_t position = 0; position < static_cast<size_t>(length); ++position, ++row) {
        for (size_t c = 0; c < hidden(); ++c) {
          x(row, c) = parameters_["token_embedding.weight"](static_cast<size_t>(ids[row]), c) +
                      position_part(position, c);
        }
      }
    }
    return x;
  }
  double position_part(size_t position, size_t c) const {
    if (config_.positions == PositionKind::rotary || config_.positions == PositionKind::none) return 0;
    if (config_.positions == PositionKind::learned)
      return parameters_["position_embedding.weight"](position, c);
    const size_t half = hidden() / 2;
    const double angle = static_cast<double>(position) *
                         std::pow(10000.0, -static_cast<double>(c % half) / static_cast<double>(half));
    return c < half ? std::cos(angle) : std::sin(angle);
  }

  Parameters parameters_;
  TransformerConfig config_;
  std::vector<int64_t> lengths_;
  bool prefixed_ = false;
};

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
      const RotaryTable table = rotary_table(sequences.positions, 4, Dtype::float64);
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
