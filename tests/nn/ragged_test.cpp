#include <algorithm>
#include <numeric>

#include <doctest/doctest.h>

#include "nn/transformers.h"

/// A batch of sequences of different lengths is what its sequences are one by one.
namespace haze {
namespace {

using nn_test::every_kind;
using nn_test::randomise;
using nn_test::sequences_of;
using nn_test::ThreadScope;
using nn_test::title;
using nn_test::values;

constexpr int64_t kVocabulary = 30, kHidden = 24;

TransformerConfig base() {
  TransformerConfig config;
  config.hidden = kHidden;
  config.layers = 2;
  config.heads = 3;
  config.mlp_ratio = 2;
  config.max_length = 40;
  return config;
}

struct Sentence {
  std::vector<int32_t> ids;
  float t;
};

std::vector<Sentence> sentences() {
  Generator generator(4);
  std::vector<Sentence> result;
  for (const int64_t length : {5, 40, 1, 0, 17, 2, 33}) {
    Sentence sentence{.ids = {}, .t = static_cast<float>(generator.uniform())};
    for (int64_t i = 0; i < length; ++i)
      sentence.ids.push_back(static_cast<int32_t>(generator.below(kVocabulary)));
    result.push_back(std::move(sentence));
  }
  return result;
}

/// The output rows of each sentence, from one forward pass for all.
std::vector<std::vector<double>> outputs(const TokenTransformer& network,
                                         const std::vector<Sentence>& batch) {
  std::vector<int64_t> lengths;
  std::vector<int32_t> ids;
  std::vector<float> t;
  for (const Sentence& sentence : batch) {
    lengths.push_back(static_cast<int64_t>(sentence.ids.size()));
    ids.insert(ids.end(), sentence.ids.begin(), sentence.ids.end());
    t.push_back(sentence.t);
  }
  const Sequences sequences = Sequences::of_lengths(lengths);
  const std::vector<double> rows = values(network.forward(Tensor::from(ids, {sequences.rows}), sequences,
                                                          Tensor::from(t, {sequences.count}), {}));
  std::vector<std::vector<double>> result;
  auto next = rows.begin();
  for (const int64_t length : lengths) {
    const auto end = next + length * kHidden;
    result.emplace_back(next, end);
    next = end;
  }
  return result;
}

}  // namespace

TEST_CASE(
    "ragged batch: a sequence alone, in a batch and in a batch of another order is the same, bit for bit") {
  const ThreadScope one(1);
  const std::vector<Sentence> batch = sentences();
  for (TransformerConfig config : every_kind(base())) {
    for (const bool causal : {false, true}) {
      config.causal = causal;
      CAPTURE(title(config));
      Generator start(1);
      TokenTransformer network(kVocabulary, config, start);
      randomise(network, 7, 0.1);
      const auto together = outputs(network, batch);
      std::vector<Sentence> backwards(batch.rbegin(), batch.rend());
      auto reversed = outputs(network, backwards);
      std::reverse(reversed.begin(), reversed.end());
      CHECK(reversed == together);
      for (size_t i = 0; i < batch.size(); ++i) {
        CAPTURE(i);
        CHECK(outputs(network, {batch[i]})[0] == together[i]);
      }
    }
  }
}

TEST_CASE("ragged batch: changing the tokens and time of one sequence changes no other, and itself") {
  const ThreadScope one(1);
  const std::vector<Sentence> batch = sentences();
  std::vector<Sentence> changed = batch;
  changed[4].t = 1 - changed[4].t;
  for (int32_t& id : changed[4].ids) id = static_cast<int32_t>((id + 1) % kVocabulary);
  for (const TransformerConfig& config : every_kind(base())) {
    CAPTURE(title(config));
    Generator start(1);
    TokenTransformer network(kVocabulary, config, start);
    randomise(network, 7, 0.1);
    const auto before = outputs(network, batch), after = outputs(network, changed);
    for (size_t i = 0; i < batch.size(); ++i) {
      CAPTURE(i);
      CHECK((before[i] == after[i]) == (i != 4));
    }
  }
}

TEST_CASE("ragged batch: an output has no gradient by the tokens of another sequence") {
  const ThreadScope one(1);
  for (const TransformerConfig& config : every_kind(base())) {
    CAPTURE(title(config));
    Generator start(1);
    TokenTransformer network(kVocabulary, config, start);
    randomise(network, 7, 0.1);
    // Sequence 0 has the ids below 3, sequence 1 those from 3 on.
    const Variable y = network.forward(Tensor::from<int32_t>({0, 1, 2, 3, 4}, {5}), sequences_of({3, 2}),
                                       Tensor::from<float>({0.3f, 0.6f}, {2}), {});
    backward(sum(square(slice(y, 0, 0, 3))));
    const Tensor gradient = network.parameters()[0].variable->gradient();  // of the token embedding
    const auto norm = [&](int64_t first, int64_t last) {
      const Tensor rows = slice(gradient, 0, first, last);
      return global_norm(std::span(&rows, 1));
    };
    CHECK(norm(3, 5) == 0);
    CHECK(norm(0, 3) > 0);
  }
}

TEST_CASE("ragged batch: no sequences, and sequences of no tokens, go through forward and backward") {
  const ThreadScope one(1);
  for (TransformerConfig config : every_kind(base())) {
    for (const bool checkpointing : {false, true}) {
      config.checkpoint_activations = checkpointing;
      config.dropout = 0.1;
      CAPTURE(title(config));
      Generator start(1), draws(2);
      TokenTransformer network(kVocabulary, config, start);
      for (const Sequences& sequences : {sequences_of({}), sequences_of({0, 0})}) {
        network.clear_gradients();
        const Variable y = network.forward(Tensor({0}, Dtype::int32), sequences, zeros({sequences.count}),
                                           {.training = true, .generator = &draws});
        CHECK(y.shape() == Shape{0, kHidden});
        backward(sum(y));
        for (const NamedParameter& parameter : network.parameters()) {
          CAPTURE(parameter.name);
          const Tensor& gradient = parameter.variable->gradient();
          if (gradient.defined()) CHECK(global_norm(std::span(&gradient, 1)) == 0);
        }
      }
    }
  }
}

}  // namespace haze
