#include "haze/diffusion/baselines/fudge.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "haze/diffusion/baselines/ancestral_sampling.h"

#include "diffusion/baselines/toy_language_model.h"
#include "error_of.h"

namespace haze {
namespace {

using namespace diffusion_test;
using testing::error_of;

constexpr int32_t kEnd = ToyLanguageModel::kEnd;
constexpr TextEnd kEndAt4{.end_id = kEnd, .max_length = 4};

// The control 0: the text has an even number of tokens 1; the control 1: an odd one.
bool holds(int32_t control, const Tokens& text) {
  return std::count(text.begin(), text.end(), 1) % 2 == control;
}

// p(control | prefix), the sum over all texts of the toy language model that begin so.
double probability(int32_t control, const Tokens& prefix) {
  static std::map<std::pair<int32_t, Tokens>, double> known;
  const auto found = known.find({control, prefix});
  if (found != known.end()) return found->second;
  double result = 0;
  for (const auto& [text, log_p] :
       enumerated(ToyLanguageModel::logits, {.context = {kEnd}, .prompt = prefix}, kEndAt4)) {
    if (holds(control, text)) result += std::exp(log_p);
  }
  return known[{control, prefix}] = std::clamp(result, 0.0, 1.0);
}

// The exact classifier of the toy language model's texts, whose probabilities are cut to [least, 1 - least].
class ExactClassifier : public PrefixModel {
 public:
  explicit ExactClassifier(double least = 0) : least_(least) {}
  std::unique_ptr<PrefixScorer> scorer() const override { return std::make_unique<Scorer>(least_); }

 private:
  class Scorer : public PrefixScorer {
   public:
    explicit Scorer(double least) : least_(least) {}
    void read(const Tensor& tokens) override {
      histories_.resize(static_cast<size_t>(tokens.size(0)));
      for (size_t i = 0; i < histories_.size(); ++i) {
        const auto row = static_cast<int64_t>(i);
        const Tokens read = slice(tokens, 0, row, row + 1).to_vector<int32_t>();
        histories_[i].insert(histories_[i].end(), read.begin(), read.end());
      }
    }
    Tensor logits(const Tensor& candidates) override {
      std::vector<double> result;
      const Tokens tokens = candidates.to_vector<int32_t>();
      for (size_t i = 0; i < tokens.size(); ++i) {
        const Tokens& history = histories_[i / static_cast<size_t>(candidates.size(1))];
        Tokens prefix(std::find(history.begin(), history.end(), kEnd) + 1, history.end());
        prefix.push_back(tokens[i]);
        const double p = std::clamp(probability(history[0], prefix), least_, 1 - least_);
        result.push_back(std::log(p) - std::log1p(-p));
      }
      return Tensor::from(result, candidates.shape());
    }
    void select(const Tensor& entries) override {
      std::vector<Tokens> chosen;
      for (const int32_t i : entries.to_vector<int32_t>())
        chosen.push_back(histories_.at(static_cast<size_t>(i)));
      histories_ = chosen;
    }

   private:
    double least_;
    std::vector<Tokens> histories_;
  };

  double least_;
};

const ToyLanguageModel kModel;
const ExactClassifier kClassifier;
const ExactClassifier kDoubtfulClassifier(0.05);

std::vector<Tokens> drawn(const FudgeOptions& options, const std::vector<Continuation>& continuations,
                          const PrefixModel& classifier = kClassifier) {
  FudgeOptions with_end = options;
  with_end.end_id = kEnd;
  const Fudge fudge(kModel, classifier, with_end);
  Generator generator(5);
  return sample_continuations(fudge, continuations, kEndAt4, {}, generator).texts;
}

std::vector<Continuation> copies(size_t count, int32_t control, const Tokens& prompt = {}) {
  return std::vector<Continuation>(count, {.context = {control, kEnd}, .prompt = prompt});
}

// log p(v | prefix) + weight log p(control | prefix, v) of the `candidates` most probable tokens, by hand.
LogitsOf steered(int32_t control, double weight, size_t candidates = 4, double least = 0) {
  return [=](const Tokens& history) {
    const Tokens prefix(std::find(history.begin(), history.end(), kEnd) + 1, history.end());
    std::vector<double> logits = ToyLanguageModel::logits(history), order = logits;
    std::sort(order.begin(), order.end(), std::greater<>());
    for (int32_t v = 0; v < 4; ++v) {
      double& logit = logits[static_cast<size_t>(v)];
      Tokens longer = prefix;
      longer.push_back(v);
      const double p = std::clamp(probability(control, longer), least, 1 - least);
      logit = logit < order[candidates - 1] || p == 0 ? -1e9 : logit + weight * std::log(p);
    }
    return logits;
  };
}

}  // namespace

TEST_CASE("fudge: with an exact classifier texts follow p(text | control) (chi-squared, 99.9 %, 20,000)") {
  for (const int32_t control : {0, 1}) {
    for (const Tokens& prompt : {Tokens{}, Tokens{2}}) {
      std::map<Tokens, double> expected;
      for (const auto& [text, log_p] :
           enumerated(ToyLanguageModel::logits, {.context = {kEnd}, .prompt = prompt}, kEndAt4)) {
        if (holds(control, text)) expected[text] = log_p - std::log(probability(control, prompt));
      }
      CHECK(follows(drawn({.weight = 1}, copies(20000, control, prompt)), expected));
    }
  }
}

TEST_CASE("fudge: the weight is the power of p(control | prefix) (chi-squared, 99.9 %, 20,000 texts)") {
  CHECK(follows(drawn({.weight = 3}, copies(20000, 1)),
                enumerated(steered(1, 3), {.context = {kEnd}}, kEndAt4)));
}

TEST_CASE("fudge: only the most probable tokens are candidates (chi-squared, 99.9 %, 20,000 texts)") {
  const Continuation start{.context = {kEnd}};
  CHECK(follows(drawn({.weight = 2, .candidates = 2}, copies(20000, 0), kDoubtfulClassifier),
                enumerated(steered(0, 2, 2, 0.05), start, kEndAt4)));
  const std::vector<Tokens> greedy = drawn({.weight = 0, .candidates = 1}, copies(3, 0));
  Generator generator(6);
  CHECK(greedy == sample_continuations(kModel, std::vector<Continuation>(3, start), kEndAt4,
                                       {.filter = {.temperature = 0}}, generator)
                      .texts);
}

TEST_CASE("fudge: with the weight 0 and all candidates the texts are the language model's own") {
  Generator generator(5);
  const std::vector<Continuation> plain(200, {.context = {kEnd}});
  CHECK(drawn({.weight = 0}, copies(200, 1)) ==
        sample_continuations(kModel, plain, kEndAt4, {}, generator).texts);
}

TEST_CASE("fudge: forbidden tokens are no candidates") {
  for (const Tokens& text :
       drawn({.weight = 0, .candidates = 2, .forbidden_tokens = {0, kEnd}}, copies(300, 0))) {
    CHECK(text.size() == 4);
    CHECK(std::count(text.begin(), text.end(), 0) == 0);
  }
}

TEST_CASE("fudge: a model that reads the control, too, is asked with it") {
  CHECK(follows(drawn({.weight = 1, .reads_control = true}, copies(20000, 1)),
                enumerated(steered(1, 1), {.context = {1, kEnd}}, kEndAt4)));
}

TEST_CASE("fudge: a text depends on the seed and its index alone, whatever the others' controls") {
  std::vector<Continuation> mixed;
  for (int32_t i = 0; i < 40; ++i) {
    Continuation one{.context = {i % 2, kEnd}, .prompt = Tokens(static_cast<size_t>(i % 3), 2)};
    if (i % 5 == 0) one.context.insert(one.context.begin() + 1, {2, 0});  // a longer control
    mixed.push_back(one);
  }
  const std::vector<Tokens> all = drawn({.weight = 1}, mixed);
  for (const size_t count : {1, 7}) {
    const std::vector<Continuation> first(mixed.begin(), mixed.begin() + static_cast<std::ptrdiff_t>(count));
    CHECK(drawn({.weight = 1}, first) ==
          std::vector<Tokens>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
  }
  for (size_t i = 0; i < all.size(); ++i) CHECK(holds(mixed[i].context[0], all[i]));
}

TEST_CASE("fudge: what it cannot do gives a sentence") {
  CHECK(error_of([] { Fudge(kModel, kClassifier, {.weight = -1}); }) == "fudge: the weight -1 is negative");
  CHECK(error_of([] { Fudge(kModel, kClassifier, {.candidates = 0}); }) ==
        "fudge: 0 candidates are not enough, one is needed");
  CHECK(control_length(Tensor::from<int32_t>({1, 2, 3, 0, 2, 0, 3, 3}, {2, 4}), 3) == 2);
  CHECK(error_of([] {
          control_length(Tensor::from<int32_t>({1, 3, 1, 2}, {2, 2}), 3);
        }) == "control: text 1 does not begin with a control of 1 tokens and the end token");
  CHECK(error_of([] {
          control_length(Tensor::from<int32_t>({1, 2}, {1, 2}), 3);
        }) == "control: text 0 does not begin with a control of 2 tokens and the end token");
}

}  // namespace haze
