#include "haze/diffusion/baselines/ancestral_sampling.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "diffusion/baselines/toy_language_model.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr TextEnd kEndAt4{.end_id = ToyLanguageModel::kEnd, .max_length = 4};

std::vector<Continuation> copies(size_t count, const Continuation& one) {
  return std::vector<Continuation>(count, one);
}

// One prompt of each length from 0 to 3, again and again.
std::vector<Continuation> ragged(size_t count) {
  std::vector<Continuation> result;
  for (size_t i = 0; i < count; ++i) {
    Continuation one{.context = {ToyLanguageModel::kEnd}};
    for (size_t j = 0; j < i % 4; ++j) one.prompt.push_back(static_cast<int32_t>((i + j) % 3));
    result.push_back(one);
  }
  return result;
}

}  // namespace

TEST_CASE("texts are distributed as the language model says (chi-squared, 99.9 %, 30,000 texts)") {
  const ToyLanguageModel model;
  for (const Tokens& prompt : {Tokens{}, Tokens{1}}) {
    const Continuation start{.context = {2, 0, ToyLanguageModel::kEnd}, .prompt = prompt};
    Generator generator(5);
    const Samples samples = sample_continuations(model, copies(30000, start), kEndAt4, {}, generator);
    CHECK(follows(samples.texts, enumerated(ToyLanguageModel::logits, start, kEndAt4)));
  }
}

TEST_CASE("with forbidden tokens the others keep their ratios (chi-squared, 99.9 %, 30,000 texts)") {
  const ToyLanguageModel model;
  const Continuation start{.context = {ToyLanguageModel::kEnd}};
  for (const Tokens& forbidden : {Tokens{1}, Tokens{ToyLanguageModel::kEnd}, Tokens{0, 2}}) {
    Generator generator(6);
    const Samples samples = sample_continuations(model, copies(30000, start), kEndAt4,
                                                 {.filter = {.forbidden = forbidden}}, generator);
    CHECK(follows(samples.texts, enumerated(ToyLanguageModel::logits, start, kEndAt4, forbidden)));
  }
}

TEST_CASE("temperature and top_k act on each token (chi-squared, 99.9 %, 30,000 texts)") {
  const ToyLanguageModel model;
  const Continuation start{.context = {ToyLanguageModel::kEnd}};
  const LogitsOf halved_and_cut = [](const Tokens& history) {
    std::vector<double> logits = ToyLanguageModel::logits(history), order = logits;
    std::sort(order.begin(), order.end());
    for (double& x : logits) x = x >= order[2] ? x / 2 : -1e9;  // the two largest of four
    return logits;
  };
  Generator generator(7);
  const Samples samples = sample_continuations(model, copies(30000, start), kEndAt4,
                                               {.filter = {.temperature = 2, .top_k = 2}}, generator);
  CHECK(follows(samples.texts, enumerated(halved_and_cut, start, kEndAt4)));
}

TEST_CASE("temperature 0 takes the most probable token at each step") {
  const ToyLanguageModel model;
  for (const Continuation& start : ragged(4)) {
    Tokens expected = start.prompt;
    while (!kEndAt4.reached(expected)) {
      Tokens history = start.context;
      history.insert(history.end(), expected.begin(), expected.end());
      const std::vector<double> logits = ToyLanguageModel::logits(history);
      expected.push_back(
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    }
    Generator generator(8);
    const Samples samples =
        sample_continuations(model, copies(1, start), kEndAt4, {.filter = {.temperature = 0}}, generator);
    CHECK(samples.texts[0] == expected);
  }
}

TEST_CASE("a text depends on the seed and its index alone, whatever the count and the size of calls") {
  const ToyLanguageModel model;
  Generator generator(9);
  const std::vector<Tokens> all = sample_continuations(model, ragged(41), kEndAt4, {}, generator).texts;
  for (size_t count : {1, 2, 17}) {
    for (int64_t texts_per_call : {1, 3, 128}) {
      Generator again(9);
      const std::vector<Tokens> some =
          sample_continuations(model, ragged(count), kEndAt4, {.texts_per_call = texts_per_call}, again)
              .texts;
      CHECK(some == std::vector<Tokens>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
    }
  }
  CHECK(sample_continuations(model, ragged(41), kEndAt4, {}, generator).texts != all);
}

TEST_CASE("a text begins with its prompt and ends at the end token or at max_length") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = ragged(400);
  Generator generator(10);
  const std::vector<Tokens> texts = sample_continuations(model, starts, kEndAt4, {}, generator).texts;
  int ended = 0, cut = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Tokens& text = texts[i];
    REQUIRE(std::ssize(text) <= kEndAt4.max_length);
    CHECK(std::equal(starts[i].prompt.begin(), starts[i].prompt.end(), text.begin()));
    const auto first_end = std::find(text.begin(), text.end(), ToyLanguageModel::kEnd);
    if (first_end == text.end()) {
      CHECK(std::ssize(text) == kEndAt4.max_length);
      ++cut;
    } else {
      CHECK(first_end + 1 == text.end());
      ++ended;
    }
  }
  CHECK(ended > 0);
  CHECK(cut > 0);
}

TEST_CASE("a prompt of max_length tokens is a text already, and costs nothing") {
  const ToyLanguageModel model;
  Generator generator(11);
  const Samples samples = sample_continuations(model, copies(1, {.context = {3}, .prompt = {0, 1, 2, 0}}),
                                               kEndAt4, {}, generator);
  CHECK(samples.texts[0] == Tokens{0, 1, 2, 0});
  CHECK(samples.network_calls == 0);
}

TEST_CASE("network calls number the tokens drawn") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = ragged(100);
  Generator generator(12);
  const Samples samples = sample_continuations(model, starts, kEndAt4, {}, generator);
  int64_t drawn = 0;
  for (size_t i = 0; i < starts.size(); ++i)
    drawn += std::ssize(samples.texts[i]) - std::ssize(starts[i].prompt);
  CHECK(samples.network_calls == drawn);
}

TEST_CASE("the observer sees texts grow by at most a token a step, from the prompts to the result") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = ragged(30);
  std::vector<Tokens> before;
  int64_t last_step = -1, steps = 0;
  AncestralOptions options;
  options.texts_per_call = 4;
  options.observer = [&](const Snapshot& snapshot) {
    const std::vector<Tokens>& texts = *snapshot.texts;
    if (before.empty()) {
      CHECK(snapshot.step == 0);
      for (size_t i = 0; i < texts.size(); ++i) CHECK(texts[i] == starts[i].prompt);
    } else {
      CHECK(snapshot.step > last_step);
      for (size_t i = 0; i < texts.size(); ++i) {
        CHECK(texts[i].size() - before[i].size() <= 1);
        CHECK(std::equal(before[i].begin(), before[i].end(), texts[i].begin()));
      }
    }
    last_step = snapshot.step;
    steps = snapshot.steps;
    before = texts;
  };
  Generator generator(13);
  const Samples samples = sample_continuations(model, starts, kEndAt4, options, generator);
  CHECK(before == samples.texts);
  CHECK(last_step == steps);
}

TEST_CASE("continuations that make no sense are refused in a sentence") {
  const ToyLanguageModel model;
  Generator generator(14);
  const auto sample = [&](const Continuation& one) {
    return sample_continuations(model, copies(1, one), kEndAt4, {}, generator);
  };
  CHECK_THROWS_WITH_AS(sample({.context = {}, .prompt = {1}}),
                       "decoding: text 0 has no context, such as a start symbol", Error);
  CHECK_THROWS_WITH_AS(sample({.context = {3}, .prompt = {1, 1, 1, 1, 1}}),
                       "decoding: the prompt of text 0 has 5 tokens, a text has at most 4", Error);
  CHECK_THROWS_WITH_AS(sample({.context = {3}, .prompt = {3, 1}}),
                       "decoding: the prompt of text 0 holds the end token, after which nothing follows",
                       Error);
  CHECK_THROWS_AS(sample_continuations(model, copies(1, {.context = {3}}), kEndAt4,
                                       {.filter = {.forbidden = {0, 1, 2, 3}}}, generator),
                  Error);
}

}  // namespace haze
