#include <set>

#include <doctest/doctest.h>

#include "haze/nn/heads.h"

#include "nn/transformers.h"

/// A causal transformer that goes on from a cache is one that reads everything at once.
namespace haze {
namespace {

using nn_test::largest_difference;
using nn_test::random_ids;
using nn_test::randomise;
using nn_test::sequences_of;
using nn_test::title;
using nn_test::values;
using testing::error_of;
using testing::random;

constexpr int64_t kVocabulary = 20, kBatch = 3, kLength = 24;

TransformerConfig causal_config() {
  TransformerConfig config;
  config.hidden = 16;
  config.layers = 2;
  config.heads = 2;
  config.max_length = kLength;
  config.causal = true;
  return config;
}

/// A decoder with a tied head.
struct LanguageModel : Module {
  LanguageModel(const TransformerConfig& config, Dtype dtype) : LanguageModel(config, dtype, Generator(1)) {}

  /// Logits [batch, columns, vocabulary] of the columns of ids [batch, columns].
  Tensor logits(const Tensor& ids, const TransformerOptions& options = {}, const Tensor& t = {}) const {
    const std::vector<int64_t> lengths(static_cast<size_t>(ids.size(0)), ids.size(1));
    const Sequences sequences = Sequences::of_lengths(lengths);
    const Variable hidden = transformer.forward(reshape(ids, {sequences.rows}), sequences, t, {}, options);
    return reshape(head.logits(hidden), {ids.size(0), ids.size(1), kVocabulary}).value();
  }

  TokenTransformer transformer;
  TokenHead head;

 private:
  LanguageModel(const TransformerConfig& config, Dtype dtype, Generator generator)
      : transformer(kVocabulary, config, generator),
        head(transformer.token_embedding(), kVocabulary, generator) {
    add_module("transformer", transformer);
    add_module("head", head);
    to(dtype);
    randomise(*this, 7, 0.3);
  }
};

Tensor some_ids() {
  return reshape(random_ids(kBatch * kLength, kVocabulary), {kBatch, kLength});
}

/// The logits of passes over so many columns each, one after another, from one cache.
std::vector<double> logits_in_chunks(const LanguageModel& model, const Tensor& ids,
                                     const std::vector<int64_t>& chunks, const Tensor& t = {}) {
  TransformerCache cache;
  std::vector<Tensor> parts;
  int64_t first = 0;
  for (const int64_t columns : chunks) {
    parts.push_back(model.logits(slice(ids, 1, first, first + columns), {.cache = &cache}, t));
    first += columns;
    CHECK(cache.length() == first);
  }
  return concat(parts, 1).to_vector<double>();
}

std::vector<TransformerConfig> cached_kinds() {
  std::vector<TransformerConfig> result;
  for (const TransformerConfig& config : nn_test::every_kind(causal_config())) {
    if (config.time != TimeConditioning::prefix) result.push_back(config);
  }
  return result;
}

}  // namespace

TEST_CASE("cache: logits in chunks of any size are those of one pass, for every kind of network") {
  const NoGradient no_gradient;
  const Tensor ids = some_ids(), t = Tensor::from<float>({0.2f, 0.5f, 0.9f}, {kBatch});
  const std::vector<std::vector<int64_t>> chunkings{
      std::vector<int64_t>(kLength, 1), std::vector<int64_t>(kLength / 3, 3), {kLength}, {10, 1, 1, 7, 5}};
  for (const TransformerConfig& config : cached_kinds()) {
    for (const auto& [dtype, tolerance] :
         {std::pair(Dtype::float32, 1e-5), std::pair(Dtype::float64, 1e-12)}) {
      CAPTURE(title(config));
      const LanguageModel model(config, dtype);
      const std::vector<double> expected = model.logits(ids, {}, t).to_vector<double>();
      for (const std::vector<int64_t>& chunks : chunkings) {
        CAPTURE(chunks.size());
        CHECK(largest_difference(logits_in_chunks(model, ids, chunks, t), expected) < tolerance);
      }
    }
  }
}

TEST_CASE("cache: the rows wanted are counted among the rows of the pass") {
  const NoGradient no_gradient;
  const LanguageModel model(causal_config(), Dtype::float64);
  const Tensor ids = some_ids(), last = Tensor::from<int32_t>({3, 7, 11}, {kBatch});
  const auto pass = [&](int64_t first, const Tensor& wanted, TransformerCache* cache) {
    const Tensor columns = reshape(slice(ids, 1, first, first + 4), {kBatch * 4});
    return model.transformer.forward(columns, sequences_of({4, 4, 4}), {}, {},
                                     {.wanted = wanted, .cache = cache});
  };
  TransformerCache all_rows, last_rows;
  pass(0, {}, &all_rows);
  pass(0, last, &last_rows);
  CHECK(largest_difference(values(pass(4, last, &last_rows)),
                           values(index_select(pass(4, {}, &all_rows), 0, last))) < 1e-12);
}

TEST_CASE("cache: selecting its sequences is to have read the selected sequences from the start") {
  const NoGradient no_gradient;
  const Tensor ids = some_ids(), entries = Tensor::from<int32_t>({2, 0, 0, 1, 2}, {5});
  for (const PositionKind positions : {PositionKind::learned, PositionKind::rotary}) {
    TransformerConfig config = causal_config();
    config.positions = positions;
    const LanguageModel model(config, Dtype::float64);
    TransformerCache cache;
    model.logits(slice(ids, 1, 0, 9), {.cache = &cache});
    cache.select(entries.to_vector<int32_t>());
    const Tensor rest = reshape(random_ids(5 * 6, kVocabulary, 9), {5, 6});
    const Tensor continued = model.logits(rest, {.cache = &cache});
    const std::vector<Tensor> whole{index_select(slice(ids, 1, 0, 9), 0, entries), rest};
    const Tensor expected = slice(model.logits(concat(whole, 1)), 1, 9, 15);
    CHECK(largest_difference(continued.to_vector<double>(), expected.to_vector<double>()) < 1e-12);
  }
}

TEST_CASE("past: each candidate for the next row is computed as if it alone followed, for every kind") {
  const NoGradient no_gradient;
  constexpr int64_t kPast = 9, kCandidates = 5;
  const Tensor ids = some_ids(), t = Tensor::from<float>({0.2f, 0.5f, 0.9f}, {kBatch});
  const Tensor candidates = reshape(random_ids(kBatch * kCandidates, kVocabulary, 4), {kBatch, kCandidates});
  for (const TransformerConfig& config : cached_kinds()) {
    CAPTURE(title(config));
    const LanguageModel model(config, Dtype::float64);
    TransformerCache read;
    model.logits(slice(ids, 1, 0, kPast), {.cache = &read}, t);
    const Tensor together = model.logits(candidates, {.past = read.past(kPast)}, t);
    for (int64_t j = 0; j < kCandidates; ++j) {
      TransformerCache cache = TransformerCache::of(read.past(kPast));
      const Tensor alone = model.logits(slice(candidates, 1, j, j + 1), {.cache = &cache}, t);
      CHECK(largest_difference(slice(together, 1, j, j + 1).to_vector<double>(), alone.to_vector<double>()) <
            1e-12);
    }
  }
}

TEST_CASE("past: gradients flow to its keys and values (central differences, float64)") {
  TransformerConfig config = causal_config();
  config.positions = PositionKind::rotary;
  config.hidden = 8;
  config.max_length = 6;
  LanguageModel model(config, Dtype::float64);
  std::vector<Tensor> inputs;
  for (int64_t i = 0; i < 2 * config.layers; ++i)
    inputs.push_back(random({2, 3, 2, 4}, static_cast<uint64_t>(i) + 1));
  const Tensor ids = random_ids(4, kVocabulary);
  const auto forward = [&](const testing::Inputs& given) {
    TransformerOptions options;
    for (size_t i = 0; i < given.size(); i += 2) options.past.push_back({given[i], given[i + 1]});
    return model.transformer.forward(ids, sequences_of({2, 2}), {}, {}, options);
  };
  testing::check_first("past", forward, inputs);
}

TEST_CASE("cache: it grows by doubling, and selecting keeps its capacity") {
  AttentionCache cache;
  CHECK(cache.capacity() == 0);
  std::set<int64_t> capacities;
  std::vector<double> expected;
  for (int64_t i = 0; i < 100; ++i) {
    const Tensor row = random({2, 1, 3, 4}, static_cast<uint64_t>(i));
    cache.append(row, scale_shift(row, 2, 0));
    capacities.insert(cache.capacity());
    const std::vector<double> first = slice(row, 0, 0, 1).to_vector<double>();
    expected.insert(expected.end(), first.begin(), first.end());
  }
  CHECK(capacities == std::set<int64_t>{16, 32, 64, 128});
  CHECK(cache.length() == 100);
  CHECK(cache.keys().shape() == Shape{2, 100, 3, 4});
  CHECK(slice(cache.keys(), 0, 0, 1).to_vector<double>() == expected);
  CHECK(slice(cache.values(), 0, 0, 1).to_vector<double>() ==
        scale_shift(slice(cache.keys(), 0, 0, 1), 2, 0).to_vector<double>());
  cache.select(Tensor::from<int32_t>({1, 0, 0}, {3}));
  CHECK(cache.capacity() == 128);
  CHECK(cache.batch() == 3);
  CHECK(slice(cache.keys(), 0, 2, 3).to_vector<double>() == expected);
}

TEST_CASE("cache: a step of a long text allocates less than the keys and values of one layer take") {
  const NoGradient no_gradient;
  TransformerConfig config = causal_config();
  config.max_length = 2000;
  const LanguageModel model(config, Dtype::float32);
  TransformerCache cache;
  model.logits(reshape(random_ids(1500, kVocabulary), {1, 1500}), {.cache = &cache});
  const auto step = [&] { model.logits(reshape(random_ids(1, kVocabulary), {1, 1}), {.cache = &cache}); };
  step();  // makes room for the rows after it
  const size_t before = memory_statistics().in_use;
  reset_peak_memory();
  for (int i = 0; i < 20; ++i) step();
  CHECK(memory_statistics().peak - before < 2 * 1500 * 16 * sizeof(float));
  CHECK(memory_statistics().in_use == before);
}

TEST_CASE("cache: what it cannot do gives a sentence") {
  TransformerConfig config = causal_config();
  const Tensor ids = some_ids();
  const auto error = [&](const TransformerConfig& changed, const Tensor& given, TransformerCache& cache) {
    const LanguageModel model(changed, Dtype::float32);
    return error_of([&] { model.logits(given, {.cache = &cache}, zeros({given.size(0)})); });
  };
  TransformerCache cache;
  CHECK(error(config, ids, cache) == "attention: a cache keeps no gradients, use it under NoGradient");
  const NoGradient no_gradient;
  CHECK(error(config, slice(ids, 1, 0, 20), cache).empty());
  CHECK(error(config, slice(ids, 1, 0, 5), cache) ==
        "Transformer: a sequence of 25 tokens is longer than max_length 24");
  CHECK(error(config, reshape(slice(ids, 1, 0, 1), {1, 3}), cache) ==
        "AttentionCache: 1 sequences go on, the cache holds 3");
  CHECK(cache.length() == 20);
  config.layers = 3;
  CHECK(error(config, slice(ids, 1, 0, 1), cache) ==
        "Transformer: the cache is of 2 layers, the network has 3");
  TransformerCache empty;
  config.time = TimeConditioning::prefix;
  CHECK(error(config, ids, empty) == "Transformer: a cache cannot be combined with a time prefix");
  config.time = TimeConditioning::none;
  config.causal = false;
  CHECK(error(config, ids, empty) == "attention: only causal attention can use a cache");
  const LanguageModel model(causal_config(), Dtype::float32);
  CHECK(error_of([&] {
          model.transformer.forward(random_ids(5, kVocabulary), sequences_of({3, 2}), {}, {},
                                    {.cache = &empty});
        }) == "attention: with a cache, all sequences must go on by the same number of rows");
}

TEST_CASE("past: what it cannot do gives a sentence") {
  const NoGradient no_gradient;
  const auto error = [&](const TransformerConfig& changed, std::vector<int64_t> lengths,
                         const Shape& shape = {2, 3, 2, 8}, size_t layers = 2) {
    const LanguageModel model(changed, Dtype::float32);
    const PastRows rows{zeros(shape), zeros(shape)};
    const Sequences sequences = Sequences::of_lengths(lengths);
    return error_of([&] {
      model.transformer.forward(random_ids(sequences.rows, kVocabulary), sequences, zeros({sequences.count}),
                                {}, {.past = std::vector<PastRows>(layers, rows)});
    });
  };
  TransformerConfig config = causal_config();
  CHECK(error(config, {4, 4}).empty());
  CHECK(error(config, {4, 3}) == "Transformer: all sequences must have the same number of candidates");
  CHECK(error(config, {4, 4, 4}) ==
        "Transformer: the past has shape [2, 3, 2, 8], it must have at least one row of each of 3 sequences");
  CHECK(error(config, {4, 4}, {2, 0, 2, 8}) ==
        "Transformer: the past has shape [2, 0, 2, 8], it must have at least one row of each of 2 sequences");
  CHECK(error(config, {4, 4}, {2, 24, 2, 8}) ==
        "Transformer: a sequence of 25 tokens is longer than max_length 24");
  CHECK(error(config, {4, 4}, {2, 3, 2, 8}, 3) == "Transformer: the past is of 3 layers, the network has 2");
  config.time = TimeConditioning::prefix;
  CHECK(error(config, {4, 4}) == "Transformer: a past cannot be combined with a time prefix");
  config = causal_config();
  config.causal = false;
  CHECK(error(config, {4, 4}) == "Transformer: only causal attention can have a past");
}

}  // namespace haze
