#include "haze/diffusion/baselines/beam_search.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "haze/diffusion/baselines/ancestral_sampling.h"

#include "diffusion/baselines/toy_language_model.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr TextEnd kEndAt5{.end_id = ToyLanguageModel::kEnd, .max_length = 5};

// Different histories: contexts of two tokens, and prompts of 0 to 2.
std::vector<Continuation> toy_starts() {
  std::vector<Continuation> result;
  for (int32_t a = 0; a < 4; ++a) {
    for (int32_t b = 0; b < 4; ++b) {
      Continuation one{.context = {a, b, ToyLanguageModel::kEnd}};
      for (int32_t j = 0; j < (a + b) % 3; ++j) one.prompt.push_back((a + j) % 3);
      result.push_back(one);
    }
  }
  return result;
}

// log p / ((5 + length) / 6)^alpha, length counted after the prompt.
double score(double log_p, const Tokens& text, const Continuation& start, double alpha) {
  const auto length = static_cast<double>(text.size() - start.prompt.size());
  return log_p / std::pow((5 + length) / 6, alpha);
}

// The best text of all there are.
Tokens best_of_all(const Continuation& start, double alpha, const Tokens& forbidden) {
  Tokens best;
  double best_score = -1e300;
  for (const auto& [text, log_p] : enumerated(ToyLanguageModel::logits, start, kEndAt5, forbidden)) {
    if (score(log_p, text, start, alpha) <= best_score) continue;
    best_score = score(log_p, text, start, alpha);
    best = text;
  }
  return best;
}

// Beam search as it is defined: every continuation by one token is made and all of them are sorted. It goes
// on until the beam is empty, which finds the same text as stopping early.
Tokens defined_beam_search(const Continuation& start, size_t beam_size, double alpha) {
  using Hypothesis = std::pair<double, Tokens>;  // log p, text
  std::vector<Hypothesis> alive = {{0, start.prompt}};
  Hypothesis best = {-1e300, {}};
  while (!alive.empty()) {
    std::vector<Hypothesis> all;
    for (const auto& [log_p, text] : alive) {
      Tokens history = start.context;
      history.insert(history.end(), text.begin(), text.end());
      const std::vector<double> p = probabilities(ToyLanguageModel::logits(history));
      for (size_t v = 0; v < p.size(); ++v) {
        all.emplace_back(log_p + std::log(p[v]), text);
        all.back().second.push_back(static_cast<int32_t>(v));
      }
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    all.resize(std::min(all.size(), beam_size));
    alive.clear();
    for (const auto& [log_p, text] : all) {
      if (!kEndAt5.reached(text)) {
        alive.emplace_back(log_p, text);
      } else if (score(log_p, text, start, alpha) > best.first) {
        best = {score(log_p, text, start, alpha), text};
      }
    }
  }
  return best.second;
}

double log_probability(const Tokens& text, const Continuation& start) {
  return enumerated(ToyLanguageModel::logits, start, kEndAt5).at(text);
}

}  // namespace

TEST_CASE("a beam as wide as there are texts finds the best of all, whatever the length penalty") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = toy_starts();
  for (double alpha : {0.0, 0.6, 1.0, 3.0}) {
    for (const Tokens& forbidden : {Tokens{}, Tokens{2}}) {
      const Samples found =
          beam_search(model, starts, kEndAt5,
                      {.beam_size = 1024, .length_penalty = alpha, .forbidden_tokens = forbidden});
      for (size_t i = 0; i < starts.size(); ++i) {
        CHECK(found.texts[i] == best_of_all(starts[i], alpha, forbidden));
      }
    }
  }
}

TEST_CASE("beams of every size up to 12 find what sorting all continuations finds") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = toy_starts();
  for (int64_t beam_size = 1; beam_size <= 12; ++beam_size) {
    for (double alpha : {0.0, 0.6, 3.0}) {
      const Samples found =
          beam_search(model, starts, kEndAt5, {.beam_size = beam_size, .length_penalty = alpha});
      for (size_t i = 0; i < starts.size(); ++i)
        CHECK(found.texts[i] == defined_beam_search(starts[i], static_cast<size_t>(beam_size), alpha));
    }
  }
}

TEST_CASE("a beam of one is greedy decoding, whatever the length penalty") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = toy_starts();
  Generator generator(1);
  const Samples greedy =
      sample_continuations(model, starts, kEndAt5, {.filter = {.temperature = 0}}, generator);
  for (double alpha : {0.0, 0.6, 2.0}) {
    const Samples found = beam_search(model, starts, kEndAt5, {.beam_size = 1, .length_penalty = alpha});
    CHECK(found.texts == greedy.texts);
  }
}

TEST_CASE("a beam of four finds texts that are more probable than greedy ones") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = toy_starts();
  const Samples one = beam_search(model, starts, kEndAt5, {.beam_size = 1, .length_penalty = 0});
  const Samples four = beam_search(model, starts, kEndAt5, {.beam_size = 4, .length_penalty = 0});
  double gain = 0;
  int better = 0;
  for (size_t i = 0; i < starts.size(); ++i) {
    const double difference =
        log_probability(four.texts[i], starts[i]) - log_probability(one.texts[i], starts[i]);
    gain += difference;
    better += difference > 0;
  }
  CHECK(gain > 0);
  CHECK(better >= 3);
}

TEST_CASE("a larger length penalty finds longer texts") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = toy_starts();
  std::vector<size_t> tokens;
  for (double alpha : {0.0, 2.0, 8.0}) {
    tokens.push_back(0);
    for (const Tokens& text :
         beam_search(model, starts, kEndAt5, {.beam_size = 64, .length_penalty = alpha}).texts)
      tokens.back() += text.size();
  }
  CHECK(tokens[0] < tokens[1]);
  CHECK(tokens[1] < tokens[2]);
}

TEST_CASE("a text does not depend on those that are searched for with it") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = toy_starts();
  const Samples together = beam_search(model, starts, kEndAt5, {.beam_size = 3});
  for (size_t i = 0; i < starts.size(); ++i) {
    CHECK(beam_search(model, std::span(starts).subspan(i, 1), kEndAt5, {.beam_size = 3}).texts[0] ==
          together.texts[i]);
  }
  CHECK(beam_search(model, starts, kEndAt5, {.beam_size = 3, .hypotheses_per_call = 1}).texts ==
        together.texts);
}

TEST_CASE("the length penalty is that of Wu et al.: 1 for one token") {
  CHECK(length_penalty_of(1, 0.6) == 1);
  CHECK(length_penalty_of(7, 0) == 1);
  CHECK(length_penalty_of(7, 1) == 2);
  CHECK(length_penalty_of(19, 0.5) == 2);
}

TEST_CASE("the observer sees steps rise to the last, and then the result") {
  const ToyLanguageModel model;
  BeamSearchOptions options;
  options.hypotheses_per_call = 8;
  int64_t last_step = -1, steps = 0;
  std::vector<Tokens> last;
  options.observer = [&](const Snapshot& snapshot) {
    CHECK(snapshot.step > last_step);
    last_step = snapshot.step;
    steps = snapshot.steps;
    last = *snapshot.texts;
  };
  const Samples found = beam_search(model, toy_starts(), kEndAt5, options);
  CHECK(last == found.texts);
  CHECK(last_step == steps);
}

TEST_CASE("beam search says what is wrong") {
  const ToyLanguageModel model;
  const std::vector<Continuation> starts = toy_starts();
  CHECK_THROWS_WITH_AS(beam_search(model, starts, kEndAt5, {.beam_size = 0}),
                       "beam search: beam_size 0 is not positive", Error);
  CHECK_THROWS_WITH_AS(beam_search(model, starts, kEndAt5, {.length_penalty = -1}),
                       "beam search: length_penalty -1 is not a number of at least 0", Error);
  CHECK_THROWS_WITH_AS(beam_search(model, starts, kEndAt5, {.forbidden_tokens = {0, 1, 2, 3}}),
                       "beam search: no token has a probability; are all of them forbidden?", Error);
  CHECK_THROWS_AS(beam_search(model, starts, kEndAt5, {.forbidden_tokens = {4}}), Error);
}

}  // namespace haze
