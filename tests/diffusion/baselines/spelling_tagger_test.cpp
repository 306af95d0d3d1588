#include "haze/diffusion/baselines/spelling_tagger.h"

#include <cmath>

#include <doctest/doctest.h>

#include "diffusion/gaussian/diffusion_lm/toy_training.h"
#include "diffusion/toy_language.h"
#include "error_of.h"
#include "nn/networks.h"

namespace haze {
namespace {

using testing::error_of;

// Words 3 to 8, the end 1 and the unknown word 2. A word is spelt by the buckets of its stem and of its
// suffix: 0 and 1 are suffixes, and say its tag.
constexpr int32_t kEnd = 1, kUnknown = 2, kFirstWord = 3;
const DataFacts kFacts{.vocabulary = 9,
                       .mask_id = 9,
                       .end_id = kEnd,
                       .unknown_id = kUnknown,
                       .max_length = 5,
                       .tags = 3,
                       .spelling_buckets = 10,
                       .value_shape = {}};
constexpr int32_t kNewStem = 9;

int32_t suffix_of(int32_t word) {
  return word % 2;
}

using Texts = std::vector<std::vector<int32_t>>;
const Texts kTexts = {{3, 4, 5, kEnd}, {8, 7, kEnd}, {6, 3, 8, 5, kEnd}, {4, 6, 7, kEnd}};

// `tags` and `suffixes` of every word, text by text; the stem of an unknown word is new.
Batch batch_of(const Texts& texts, const std::vector<int32_t>& suffixes) {
  Batch batch = diffusion_test::batch_of(texts);
  std::vector<int32_t> tags, ngrams, tokens;
  int32_t token = 0;
  size_t word = 0;
  for (const std::vector<int32_t>& text : texts) {
    for (const int32_t id : text) {
      if (id != kEnd) {
        const int32_t stem = id == kUnknown ? kNewStem : 2 + id - kFirstWord;
        ngrams.insert(ngrams.end(), {stem, suffixes[word]});
        tokens.insert(tokens.end(), {token, token});
      }
      tags.push_back(id == kEnd ? 0 : 1 + suffixes[word++]);
      ++token;
    }
  }
  batch.tags = Tensor::from(tags, {std::ssize(tags)});
  batch.spelling =
      Spelling{Tensor::from(ngrams, {std::ssize(ngrams)}), Tensor::from(tokens, {std::ssize(tokens)})};
  return batch;
}

Batch training_texts() {
  std::vector<int32_t> suffixes;
  for (const std::vector<int32_t>& text : kTexts) {
    for (const int32_t id : text) {
      if (id != kEnd) suffixes.push_back(suffix_of(id));
    }
  }
  return batch_of(kTexts, suffixes);
}

Settings settings_of(const std::vector<std::string>& changes = {}) {
  Settings settings(spelling_tagger_model().settings);
  for (const char* small : {"transformer.layers=1", "transformer.hidden=16", "transformer.heads=2"})
    settings.override_with(small);
  for (const std::string& change : changes) settings.override_with(change);
  spelling_tagger_model().resolve(settings);
  return settings;
}

SpellingTagger tagger_of(const std::vector<std::string>& changes = {}) {
  Generator generator(1);
  return SpellingTagger(settings_of(changes), kFacts, generator);
}

double loss_of(const SpellingTagger& tagger, const Batch& batch, const ForwardContext& context = {}) {
  return tagger.loss(batch, 0, context).total.value().item();
}

}  // namespace

TEST_CASE("the tagger's gradients agree with differences, n-grams among them") {
  Generator generator(2);
  SpellingTagger tagger(settings_of({"transformer.hidden=4", "transformer.mlp_ratio=1"}), kFacts, generator);
  tagger.to(Dtype::float64);
  nn_test::randomise(tagger);
  const Batch batch = batch_of({{3, 4, kEnd}, {kUnknown, kEnd}}, {1, 0, 1});
  nn_test::check_gradients("spelling_tagger", tagger, {},
                           [&](const auto&) { return tagger.loss(batch, 0, {}).total; });
}

TEST_CASE("the tagger's loss is the mean of -log p over words, and ends have no tag") {
  const SpellingTagger tagger = tagger_of();
  const Batch batch = training_texts();
  const std::vector<double> log_p = tagger.log_probabilities(batch).value().to_vector<double>();
  const std::vector<int32_t> tags = batch.tags.to_vector<int32_t>();
  double sum = 0, right = 0;
  size_t word = 0;
  for (const int32_t tag : tags) {
    if (tag == 0) continue;
    CHECK(std::exp(log_p[2 * word]) + std::exp(log_p[2 * word + 1]) == doctest::Approx(1));
    sum -= log_p[2 * word + static_cast<size_t>(tag) - 1];
    right += (log_p[2 * word] >= log_p[2 * word + 1] ? 1 : 2) == tag;
    ++word;
  }
  REQUIRE(word == 12);
  CHECK(tagger.units(batch) == 12);
  CHECK(loss_of(tagger, batch) == doctest::Approx(sum / 12).epsilon(1e-5));
  CHECK(diffusion_test::logged(tagger.loss(batch, 0, {}), "accuracy") == doctest::Approx(right / 12));
  CHECK(tagger.word_classes(batch).size() == 12);
}

TEST_CASE("the tagger knows the tag of an unknown word by its suffix") {
  SpellingTagger tagger = tagger_of();
  diffusion_test::train_on(tagger, training_texts(), 150, 3);
  const Texts texts = {{3, kUnknown, kEnd}, {kUnknown, 4, kUnknown, kEnd}};
  CHECK(tagger.word_classes(batch_of(texts, {1, 0, 1, 0, 0})) == std::vector<int32_t>{2, 1, 2, 1, 1});
  CHECK(tagger.word_classes(batch_of(texts, {1, 1, 0, 0, 1})) == std::vector<int32_t>{2, 2, 1, 1, 2});
}

TEST_CASE("a tag depends on the words before and after, and not on other texts") {
  SpellingTagger tagger = tagger_of();
  nn_test::randomise(tagger);
  const auto first_word = [&](const Texts& texts, const std::vector<int32_t>& suffixes, size_t word) {
    return tagger.log_probabilities(batch_of(texts, suffixes)).value().to_vector<double>()[2 * word];
  };
  const double alone = first_word({{3, 4, 5, kEnd}}, {1, 0, 1}, 1);
  CHECK(first_word({{7, 8, kEnd}, {3, 4, 5, kEnd}}, {1, 0, 1, 0, 1}, 3) == alone);
  CHECK(first_word({{7, 4, 5, kEnd}}, {1, 0, 1}, 1) != alone);
  CHECK(first_word({{3, 4, 7, kEnd}}, {1, 0, 1}, 1) != alone);
}

TEST_CASE("word dropout takes the word and leaves its spelling, in training alone") {
  const SpellingTagger tagger = tagger_of({"spelling_tagger.word_dropout=0.999999"});
  const Batch batch = batch_of({{3, 4, kEnd}}, {1, 0});
  Batch unknown = batch;
  unknown.target = TextBatch::of(Texts{{kUnknown, kUnknown, kEnd}});
  Generator generator(4);
  const ForwardContext training{.training = true, .generator = &generator};
  CHECK(loss_of(tagger, batch, training) == loss_of(tagger, unknown));
  CHECK(loss_of(tagger, batch) != loss_of(tagger, unknown));
  CHECK(error_of([&] { loss_of(tagger, batch, {.training = true}); }) ==
        "spelling_tagger: training with word dropout needs a generator");
}

TEST_CASE("the tagger refuses data without tags or spelling, and settings with a time") {
  const auto made_of = [](DataFacts facts) {
    return error_of([&] {
      Generator generator(1);
      spelling_tagger_model().make(settings_of(), facts, {}, generator);
    });
  };
  DataFacts untagged = kFacts, unspelt = kFacts;
  untagged.tags = 0;
  unspelt.spelling_buckets = 0;
  CHECK(made_of(kFacts).empty());
  CHECK(made_of(untagged) == "spelling_tagger: the data have no tags, of which it could learn");
  CHECK(made_of(unspelt) == "spelling_tagger: the data have no spelling, which it reads");
  CHECK(error_of([] { settings_of({"transformer.time=added"}); }) ==
        "spelling_tagger: a clean text has no time; transformer.time must be none");
  const SpellingTagger tagger = tagger_of();
  Batch batch = training_texts();
  batch.spelling.reset();
  CHECK(error_of([&] { loss_of(tagger, batch); }) ==
        "spelling_tagger: the batch has no spelling, which this model needs");
  batch = training_texts();
  batch.tags = {};
  CHECK(error_of([&] { loss_of(tagger, batch); }) ==
        "spelling_tagger: the batch has no tags, which this model needs");
}

}  // namespace haze
