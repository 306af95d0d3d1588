#include <doctest/doctest.h>

#include "nn/transformer_reference.h"
#include "nn/transformers.h"

namespace haze {
namespace {

using nn_test::check_gradients;
using nn_test::Inputs;
using nn_test::largest_difference;
using nn_test::Matrix;
using nn_test::Parameters;
using nn_test::randomise;
using nn_test::Reference;
using nn_test::sequences_of;
using nn_test::ThreadScope;
using nn_test::title;
using nn_test::values;
using testing::error_of;
using testing::random;

TransformerConfig small() {
  TransformerConfig config;
  config.hidden = 8;
  config.layers = 1;
  config.heads = 2;
  config.mlp_ratio = 2;
  config.max_length = 6;
  config.cross_attention = true;
  return config;
}

/// softmax(q k / sqrt(size)) v of each head, row by row, each row over the memory of its sequence.
Matrix reference(const Parameters& parameters, const std::string& name, const Matrix& x,
                 const std::vector<int32_t>& index, const Matrix& memory,
                 const std::vector<int64_t>& lengths) {
  const Matrix query = parameters.linear(name + "query", x);
  const Matrix key_value = parameters.linear(name + "key_value", memory);
  const size_t hidden = x.columns, heads = 2, size = hidden / heads;
  Matrix mixed(x.rows, hidden);
  for (size_t row = 0; row < x.rows; ++row) {
    size_t first = 0;
    for (int32_t i = 0; i < index[row]; ++i) first += static_cast<size_t>(lengths[static_cast<size_t>(i)]);
    const size_t last = first + static_cast<size_t>(lengths[static_cast<size_t>(index[row])]);
    for (size_t head = 0; head < heads; ++head) {
      std::vector<double> weights;
      double total = 0;
      for (size_t key = first; key < last; ++key) {
        double dot = 0;
        for (size_t c = head * size; c < (head + 1) * size; ++c) dot += query(row, c) * key_value(key, c);
        weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(size))));
        total += weights.back();
      }
      for (size_t key = first; key < last; ++key) {
        for (size_t c = head * size; c < (head + 1) * size; ++c)
          mixed(row, c) += weights[key - first] / total * key_value(key, hidden + c);
      }
    }
  }
  return parameters.linear(name + "output", mixed);
}

struct Case {
  const char* name;
  std::vector<int32_t> index;  // of the rows that attend
  std::vector<int64_t> memory_lengths;
};

/// Ragged and dense; rows in and out of order; sequences without rows and without memory.
const std::vector<Case> kCases{
    {"ragged rows, ragged memory", {0, 0, 0, 1, 2, 2}, {2, 5, 1}},
    {"dense rows, dense memory", {0, 0, 1, 1, 2, 2}, {3, 3, 3}},
    {"dense rows, ragged memory", {0, 0, 1, 1}, {1, 4}},
    {"rows out of order", {2, 0, 2, 1, 0, 2}, {2, 3, 1}},
    {"no rows of the first, no memory of the last", {1, 1, 2}, {2, 3, 0}},
    {"no memory at all", {0, 1}, {0, 0}},
    {"no rows", {}, {2, 3}},
};

int64_t sum_of(const std::vector<int64_t>& lengths) {
  int64_t total = 0;
  for (const int64_t length : lengths) total += length;
  return total;
}

}  // namespace

TEST_CASE("cross-attention: each row attends to the memory of its sequence, written out") {
  for (const Case& c : kCases) {
    CAPTURE(c.name);
    Generator generator(1);
    CrossAttention attention(small(), generator, 1);
    attention.to(Dtype::float64);
    randomise(attention);
    const auto rows = static_cast<int64_t>(c.index.size());
    const Tensor x = random({rows, 8}), residual = random({rows, 8}, 2);
    const Tensor memory = random({sum_of(c.memory_lengths), 8}, 3);
    const Sequences sequences = Sequences::of_lengths(c.memory_lengths);
    const GroupedRows grouped = GroupedRows::of(Tensor::from(c.index, {rows}), sequences.count);
    const Variable keys = attention.keys_of(memory);
    const Matrix expected =
        reference(Parameters(attention), "", Matrix(x), c.index, Matrix(memory), c.memory_lengths);
    CHECK(largest_difference(values(attention.forward(x, grouped, keys, sequences.offsets, {})),
                             expected.elements) < 1e-12);
    CHECK(largest_difference(values(attention.forward(x, grouped, keys, sequences.offsets, {}, residual)),
                             (expected + Matrix(residual)).elements) < 1e-12);
  }
}

TEST_CASE("cross-attention: in a block it stands between self-attention and MLP, written out") {
  const std::vector<int64_t> lengths{2, 3}, memory_lengths{4, 1};
  const std::vector<int32_t> index{0, 0, 1, 1, 1};
  const Tensor x = random({5, 8}), memory = random({5, 8}, 2);
  for (const NormPlacement norm : {NormPlacement::pre, NormPlacement::post}) {
    TransformerConfig config = small();
    config.norm = norm;
    Generator generator(1);
    TransformerBlock block(config, generator);
    block.to(Dtype::float64);
    randomise(block);
    const Parameters parameters(block);
    const Reference plain(block, config, lengths);
    const bool pre = norm == NormPlacement::pre;
    const auto branch = [&](const std::string& norm_name, const Matrix& y, auto f) {
      const auto normed = [&](const Matrix& z) {
        return parameters.layer_norm(norm_name, z, pre ? 1e-5 : 1e-12);
      };
      return pre ? y + f(normed(y)) : normed(y + f(y));
    };
    Matrix expected =
        branch("norm1", Matrix(x), [&](const Matrix& y) { return plain.attention("attention.", y); });
    expected = branch("cross_norm", expected, [&](const Matrix& y) {
      return reference(parameters, "cross_attention.", y, index, Matrix(memory), memory_lengths);
    });
    expected = branch("norm2", expected, [&](const Matrix& y) { return plain.mlp("mlp.", y); });
    const Sequences sequences = Sequences::of_lengths(lengths);
    const Variable y = block.forward(x, sequences,
                                     {.memory = memory,
                                      .memory_offsets = Sequences::of_lengths(memory_lengths).offsets,
                                      .queries = {.offsets = sequences.offsets}},
                                     {});
    CHECK(largest_difference(values(y), expected.elements) < 1e-11);
  }
}

TEST_CASE("cross-attention: gradients agree with central differences by rows, memory and parameters") {
  for (const Case& c : kCases) {
    for (const double dropout : {0.0, 0.3}) {
      TransformerConfig config = small();
      config.dropout = dropout;
      Generator generator(1);
      CrossAttention attention(config, generator, 1);
      attention.to(Dtype::float64);
      randomise(attention);
      const auto rows = static_cast<int64_t>(c.index.size());
      const Sequences sequences = Sequences::of_lengths(c.memory_lengths);
      const GroupedRows grouped = GroupedRows::of(Tensor::from(c.index, {rows}), sequences.count);
      check_gradients(c.name, attention, {random({rows, 8}), random({sequences.rows, 8}, 2)},
                      [&](const Inputs& in) {
                        Generator draws(9);
                        return attention.forward(in[0], grouped, attention.keys_of(in[1]), sequences.offsets,
                                                 {.training = true, .generator = &draws}, in[0]);
                      });
    }
  }
}

TEST_CASE("cross-attention in a network: gradients agree with central differences, also of some rows") {
  const Sequences sequences = sequences_of({3, 1}), memory = sequences_of({2, 4});
  const Tensor t = Tensor::from<float>({0.25f, 0.75f}, {2});
  for (const auto& [norm, time] : nn_test::kNormsAndTimes) {
    for (const bool everything : {false, true}) {
      TransformerConfig config = small();
      config.hidden = 4;
      config.mlp_ratio = 1;
      config.norm = norm;
      config.time = time;
      config.checkpoint_activations = config.causal = everything;
      config.dropout = everything ? 0.2 : 0;
      Generator generator(1);
      Transformer network(config, generator);
      network.to(Dtype::float64);
      randomise(network, 7, 0.4);
      const Tensor wanted = everything ? Tensor::from<int32_t>({3, 1, 1}, {3}) : Tensor();
      check_gradients(title(config), network, {random({4, 4}), random({6, 4}, 2)}, [&](const Inputs& in) {
        Generator draws(9);
        return network.forward(in[0], sequences, t, {.training = true, .generator = &draws},
                               {.wanted = wanted, .memory = {in[1], memory}});
      });
    }
  }
}

TEST_CASE("cross-attention in a network: wanted rows are rows of all, and a sequence sees its own memory") {
  const ThreadScope one(1);
  for (TransformerConfig config : nn_test::every_kind(small())) {
    config.layers = 2;
    CAPTURE(title(config));
    Generator generator(1);
    Transformer network(config, generator);
    network.to(Dtype::float64);
    randomise(network, 7, 0.3);
    const Sequences sequences = sequences_of({3, 1, 2}), memory_sequences = sequences_of({2, 4, 3});
    const Tensor x = random({6, 8}), memory = random({9, 8}, 2);
    const Tensor t = Tensor::from<float>({0.25f, 0.75f, 0.5f}, {3});
    const auto run = [&](const Tensor& rows, const Tensor& wanted) {
      return network.forward(x, sequences, t, {}, {.wanted = wanted, .memory = {rows, memory_sequences}});
    };
    const Tensor wanted = Tensor::from<int32_t>({5, 0, 3, 0}, {4});
    const Variable all = run(memory, {});
    CHECK(largest_difference(values(run(memory, wanted)), values(index_select(all, 0, wanted))) < 1e-12);

    const Tensor changed = clone(memory);
    fill(slice(changed, 0, 2, 6), 0.5);  // the memory of sequence 1
    const Variable other = run(changed, {});
    const auto rows_equal = [&](int64_t first, int64_t last) {
      return values(slice(all, 0, first, last)) == values(slice(other, 0, first, last));
    };
    CHECK(rows_equal(0, 3));
    CHECK_FALSE(rows_equal(3, 4));
    CHECK(rows_equal(4, 6));
  }
}

TEST_CASE("cross-attention with a cache: the memory is read once, and chunks are as one pass") {
  const NoGradient no_gradient;
  TransformerConfig config = small();
  config.layers = 2;
  config.causal = true;
  Generator generator(1);
  Transformer network(config, generator);
  network.to(Dtype::float64);
  randomise(network, 7, 0.3);
  const Tensor x = random({2, 6, 8});
  const Memory memory{random({5, 8}, 2), sequences_of({4, 1})};
  const Matrix whole(
      network.forward(reshape(x, {12, 8}), sequences_of({6, 6}), {}, {}, {.memory = memory}).value());

  TransformerCache cache;
  const auto pass = [&](int64_t first, int64_t last, const Memory& given) {
    const int64_t columns = last - first;
    const Tensor rows = reshape(slice(x, 1, first, last), {2 * columns, 8});
    return Matrix(
        network.forward(rows, sequences_of({columns, columns}), {}, {}, {.memory = given, .cache = &cache})
            .value());
  };
  pass(0, 4, memory);
  CHECK(error_of([&] { pass(4, 6, memory); }) ==
        "Transformer: the cache holds the memory already, later passes take none");
  cache.select({1, 0});
  cache.select({1, 0});
  CHECK(error_of([&] { cache.select({0, 2}); }) == "TransformerCache: there is no sequence 2 of 2");
  const Matrix rest = pass(4, 6, {});
  for (size_t sequence = 0; sequence < 2; ++sequence) {
    for (size_t i = 0; i < 2 * 8; ++i) {
      CHECK(rest.elements[sequence * 16 + i] ==
            doctest::Approx(whole.elements[sequence * 48 + 32 + i]).epsilon(1e-12));
    }
  }
}

TEST_CASE("cross-attention: a memory that does not fit gives a sentence") {
  Generator generator(1);
  const Transformer with(small(), generator);
  TransformerConfig config = small();
  config.cross_attention = false;
  const Transformer without(config, generator);
  const Sequences two = sequences_of({1, 2});
  const auto error = [&](const Transformer& network, const Memory& memory) {
    return error_of([&] { network.forward(zeros({3, 8}), two, {}, {}, {.memory = memory}); });
  };
  CHECK(error(with, {zeros({3, 8}), two}).empty());
  CHECK(error(with, {}) == "Transformer: cross-attention needs a memory of 2 sequences, it has 0");
  CHECK(error(with, {zeros({3, 8}), sequences_of({3})}) ==
        "Transformer: cross-attention needs a memory of 2 sequences, it has 1");
  CHECK(error(with, {zeros({3, 4}), two}) ==
        "Transformer: the memory's rows have shape [3, 4], they must have [3, 8]");
  CHECK(error(without, {zeros({3, 8}), two}) ==
        "Transformer: without cross_attention, nothing reads the memory");
  CrossAttention attention(small(), generator, 1);
  const Variable keys = attention.keys_of(zeros({3, 8}));
  CHECK(error_of([&] {
          const GroupedRows outside = GroupedRows::of(Tensor::from<int32_t>({2}, {1}), 2);
          attention.forward(zeros({1, 8}), outside, keys, two.offsets, {});
        }) == "index_select: index 2 is outside an axis of extent 2");
  CHECK(error_of([&] {
          attention.forward(zeros({1, 8}), {sequences_of({1}).offsets}, keys, two.offsets, {});
        }) == "attention: 1 sequences cannot attend to a memory of 2");
}

TEST_CASE("cross-attention: rows are grouped by their sequence, in their order within it") {
  const GroupedRows grouped = GroupedRows::of(Tensor::from<int32_t>({2, 0, 2, 0}, {4}), 4);
  CHECK(grouped.offsets.to_vector<int32_t>() == std::vector<int32_t>{0, 2, 2, 4, 4});
  CHECK(grouped.order.to_vector<int32_t>() == std::vector<int32_t>{1, 3, 0, 2});
  CHECK(grouped.inverse.to_vector<int32_t>() == std::vector<int32_t>{2, 0, 3, 1});
}

TEST_CASE("transformers of every kind on another device read no device memory, and give the same bits") {
  const auto run = [](const TransformerConfig& config, Device device) {
    Generator generator(1);
    Transformer network(config, generator);
    randomise(network, 7, 0.3);
    network.to(device);
    const auto there = [&](const Tensor& x) { return to(x, device); };
    const Variable x = Variable::leaf(there(cast(random({6, 8}), Dtype::float32)));
    const Variable memory = Variable::leaf(there(cast(random({9, 8}, 2), Dtype::float32)));
    const Tensor t = there(Tensor::from<float>({0.25f, 0.75f, 0.5f}, {3}));
    const Variable y = network.forward(x, sequences_of({3, 1, 2}).to(device), t, {},
                                       {.wanted = there(Tensor::from<int32_t>({5, 0, 3, 0}, {4})),
                                        .memory = {memory, sequences_of({2, 4, 3}).to(device)}});
    backward(sum(square(y)));
    std::vector<std::vector<float>> result;
    for (const Tensor& z : {y.value(), x.gradient(), memory.gradient()})
      result.push_back(z.to_vector<float>());
    return result;
  };
  for (const TransformerConfig& config : nn_test::every_kind(small())) {
    CAPTURE(title(config));
    CHECK(run(config, Device::cpu) == run(config, Device::guarded));
  }
}

TEST_CASE(
    "cross-attention with a cache on another device: a beam's memory is selected by the host's numbers") {
  const NoGradient no_gradient;
  const auto run = [](Device device) {
    TransformerConfig config = small();
    config.causal = true;
    Generator generator(1);
    Transformer network(config, generator);
    network.to(device);
    const auto there = [&](const Tensor& x) { return to(cast(x, Dtype::float32), device); };
    const Sequences one_row = sequences_of({1, 1}).to(device);
    TransformerCache cache;
    network.forward(there(random({2, 8})), one_row, {}, {},
                    {.memory = {there(random({5, 8}, 2)), sequences_of({4, 1}).to(device)}, .cache = &cache});
    cache.select({1, 1, 0});
    return network
        .forward(there(random({3, 8}, 3)), sequences_of({1, 1, 1}).to(device), {}, {}, {.cache = &cache})
        .value()
        .to_vector<float>();
  };
  CHECK(run(Device::cpu) == run(Device::guarded));
}

}  // namespace haze
