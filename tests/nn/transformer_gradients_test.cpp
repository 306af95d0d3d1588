#include <doctest/doctest.h>

#include "nn/transformers.h"

namespace haze {
namespace {

using nn_test::check_gradients;
using nn_test::every_kind;
using nn_test::Inputs;
using nn_test::kNormsAndTimes;
using nn_test::largest_difference;
using nn_test::parameter_gradients;
using nn_test::random_ids;
using nn_test::randomise;
using nn_test::sequences_of;
using nn_test::ThreadScope;
using nn_test::title;
using nn_test::values;
using testing::random;

constexpr int64_t kTinyVocabulary = 4, kMediumVocabulary = 50;

TransformerConfig tiny() {
  TransformerConfig config;
  config.hidden = 4;
  config.layers = 1;
  config.heads = 2;
  config.mlp_ratio = 1;
  config.max_length = 3;
  return config;
}

/// Large enough that kernels cut their work into several pieces.
TransformerConfig medium() {
  TransformerConfig config;
  config.hidden = 32;
  config.layers = 3;
  config.heads = 4;
  config.mlp_ratio = 2;
  config.max_length = 40;
  return config;
}

void make_generic(Module& module) {
  module.to(Dtype::float64);
  randomise(module, 7, 0.4);
}

/// What one training step of a network computes.
struct Step {
  std::vector<double> output, gradients;
  Generator::State generator;
};

Step step_of(const TransformerConfig& config, std::span<const int64_t> lengths, int thread_count = 1) {
  const ThreadScope scope(thread_count);
  Generator start(1);
  TokenTransformer network(kMediumVocabulary, config, start);
  randomise(network, 7, 0.1);
  const Sequences sequences = Sequences::of_lengths(lengths);
  Generator draws(5), times(6);
  const Tensor t = uniform({sequences.count}, times);
  const Variable y = network.forward(random_ids(sequences.rows, kMediumVocabulary), sequences, t,
                                     {.training = true, .generator = &draws});
  Generator seed(8);
  const std::vector<double> output = values(y);
  backward(y, normal(y.shape(), seed));
  return {output, parameter_gradients(network), draws.state()};
}

/// Most memory in use, beyond what was there before, by one training step.
size_t peak_of(const TransformerConfig& config, std::span<const int64_t> lengths) {
  const size_t before = memory_statistics().in_use;
  reset_peak_memory();
  step_of(config, lengths);
  return memory_statistics().peak - before;
}

}  // namespace

TEST_CASE("attention: gradients agree with central differences, causal, rotary, with dropout and residual") {
  const Sequences sequences = sequences_of({3, 1});
  const RotaryTable table = rotary_table(position_waves(3, 2), sequences.positions, Dtype::float64);
  for (const RotaryTable* rotary : {static_cast<const RotaryTable*>(nullptr), &table}) {
    for (const bool causal : {false, true}) {
      for (const double dropout : {0.0, 0.3}) {
        TransformerConfig config = tiny();
        config.causal = causal;
        config.dropout = dropout;
        Generator start(1);
        SelfAttention attention(config, start, 1);
        make_generic(attention);
        check_gradients(title(config) + (rotary ? ", turned" : ""), attention,
                        {random({4, 4}), random({4, 4}, 2)}, [&](const Inputs& in) {
                          Generator generator(9);
                          return attention.forward(in[0], sequences, rotary,
                                                   {.training = true, .generator = &generator}, in[1]);
                        });
      }
    }
  }
}

TEST_CASE("transformer block: gradients agree with central differences by input, condition and parameters") {
  const Sequences sequences = sequences_of({2, 3});
  for (const auto& [norm, time] : kNormsAndTimes) {
    TransformerConfig config = tiny();
    config.norm = norm;
    config.time = time;
    config.dropout = 0.2;
    Generator start(1);
    TransformerBlock block(config, start);
    make_generic(block);
    check_gradients(title(config), block, {random({5, 4}), random({2, 4}, 2)}, [&](const Inputs& in) {
      Generator generator(9);
      return block.forward(in[0], sequences, {.condition = in[1]},
                           {.training = true, .generator = &generator});
    });
  }
}

TEST_CASE("transformer: gradients agree with central differences for every placement and positions") {
  const Sequences sequences = sequences_of({3, 1});
  const Tensor ids = random_ids(4, kTinyVocabulary), t = Tensor::from<float>({0.25f, 0.75f}, {2});
  const Tensor some_rows = Tensor::from<int32_t>({3, 1}, {2});
  for (TransformerConfig config : every_kind(tiny())) {
    for (const bool everything : {false, true}) {
      config.causal = config.checkpoint_activations = everything;
      config.dropout = everything ? 0.2 : 0;
      Generator start(1);
      TokenTransformer network(kTinyVocabulary, config, start);
      make_generic(network);
      check_gradients(title(config), network, {}, [&](const Inputs&) {
        Generator generator(9);
        return network.forward(ids, sequences, t, {.training = true, .generator = &generator});
      });
      check_gradients(title(config) + ", some rows", network, {}, [&](const Inputs&) {
        Generator generator(9);
        return network.forward(ids, sequences, t, {.training = true, .generator = &generator},
                               {.wanted = some_rows});
      });
    }
  }
}

TEST_CASE("transformer: rows asked for come out, and take their gradient, as if all had been computed") {
  const Sequences sequences = sequences_of({3, 1, 4});
  const Tensor ids = random_ids(8, kTinyVocabulary), t = Tensor::from<float>({0.25f, 0.75f, 0.5f}, {3});
  const Tensor wanted = Tensor::from<int32_t>({6, 0, 3, 0}, {4});
  for (TransformerConfig config : every_kind(tiny())) {
    config.layers = 2;
    config.max_length = 4;
    config.checkpoint_activations = config.causal = config.norm == NormPlacement::pre;
    CAPTURE(title(config));
    Generator start(1), seed(2);
    TokenTransformer network(kTinyVocabulary, config, start);
    make_generic(network);
    const Tensor g = cast(normal({4, 4}, seed), Dtype::float64);
    const auto gradients_of = [&](const Variable& y) {
      network.clear_gradients();
      backward(y, g);
      return parameter_gradients(network);
    };
    const Variable all = index_select(network.forward(ids, sequences, t, {}), 0, wanted);
    const Variable some = network.forward(ids, sequences, t, {}, {.wanted = wanted});
    CHECK(largest_difference(values(some), values(all)) < 1e-12);
    CHECK(largest_difference(gradients_of(some), gradients_of(all)) < 1e-12);
  }
}

TEST_CASE("transformer: every parameter of every kind of network has a gradient that is not zero") {
  const ThreadScope one(1);
  for (const TransformerConfig& config : every_kind(medium())) {
    CAPTURE(title(config));
    Generator start(1);
    TokenTransformer network(kMediumVocabulary, config, start);
    randomise(network, 7, 0.1);
    const Variable y = network.forward(random_ids(60, kMediumVocabulary), sequences_of({40, 20}),
                                       Tensor::from<float>({0.2f, 0.9f}, {2}), {});
    Generator seed(8);
    backward(y, normal(y.shape(), seed));
    for (const NamedParameter& parameter : network.parameters()) {
      CAPTURE(parameter.name);
      const Tensor& gradient = parameter.variable->gradient();
      REQUIRE(gradient.defined());
      CHECK(global_norm(std::span(&gradient, 1)) > 1e-6);
    }
  }
}

TEST_CASE("checkpointing: the same output, gradients and generator bit for bit, with dropout too") {
  const std::vector<int64_t> lengths{7, 1, 12};
  for (TransformerConfig config : every_kind(medium())) {
    for (const double dropout : {0.0, 0.2}) {
      config.dropout = dropout;
      CAPTURE(title(config));
      config.checkpoint_activations = false;
      const Step plain = step_of(config, lengths);
      config.checkpoint_activations = true;
      const Step checkpointed = step_of(config, lengths);
      CHECK(checkpointed.output == plain.output);
      CHECK(checkpointed.gradients == plain.gradients);
      CHECK(checkpointed.generator == plain.generator);
    }
  }
}

TEST_CASE("checkpointing: a network of twelve layers takes less than half the memory") {
  TransformerConfig config = medium();
  config.layers = 12;
  config.dropout = 0.1;
  const std::vector<int64_t> lengths(8, 25);
  for (const auto& [norm, time] : kNormsAndTimes) {
    config.norm = norm;
    config.time = time;
    CAPTURE(title(config));
    config.checkpoint_activations = false;
    const size_t plain = peak_of(config, lengths);
    config.checkpoint_activations = true;
    const size_t checkpointed = peak_of(config, lengths);
    CAPTURE(plain);
    CAPTURE(checkpointed);
    CHECK(checkpointed * 2 < plain);
  }
}

TEST_CASE("transformer: one thread and two give the same bits, forward and backward") {
  TransformerConfig config = medium();
  config.hidden = 64;
  config.layers = 2;
  config.dropout = 0.1;
  const std::vector<int64_t> lengths{40, 3, 40, 17, 40, 40, 1, 40, 33, 40};
  const PositionKind positions[] = {PositionKind::learned, PositionKind::sinusoidal, PositionKind::rotary};
  for (size_t i = 0; i < 3; ++i) {
    config.norm = kNormsAndTimes[i].norm;
    config.time = kNormsAndTimes[i].time;
    config.positions = positions[i];
    CAPTURE(title(config));
    const Step one = step_of(config, lengths, 1), two = step_of(config, lengths, 2);
    CHECK(one.output == two.output);
    CHECK(one.gradients == two.gradients);
    CHECK(one.generator == two.generator);
  }
}

}  // namespace haze
