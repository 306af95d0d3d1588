#include "haze/tools/tasks/text_task.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/engine/error.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/tasks/control_requests.h"
#include "haze/tools/tasks/corpus_floor.h"

#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

const std::string kText = "Ondine is a small pub near the river .";

Tokenizer words() {
  TokenCounter counter(TokenizerKind::word);
  counter.add(kText);
  return counter.build(1);
}

Settings settings_with(std::vector<std::string> assignments) {
  assignments.push_back("data.max_length=12");
  return tiny_settings(assignments);
}

/// A model, not trained, of the words of kText.
struct UntrainedModel {
  explicit UntrainedModel(const std::vector<std::string>& assignments = {})
      : settings(settings_with(assignments)) {}

  Settings settings;
  TextTask task{settings, "", words(), LengthDistribution({0, 0, 0, 1, 0, 3})};
  Generator generator{1};
  std::unique_ptr<Model> model = make_model(settings, task.facts(), generator);

  std::vector<std::vector<int32_t>> sample(const SampleRequest& request) const {
    return draw_samples(*model, task, settings, request).texts;
  }
  BoundEstimate bound(const std::vector<std::vector<int32_t>>& texts, const EstimateOptions& options,
                      uint64_t seed) const {
    Batch batch;
    batch.target = TextBatch::of(texts);
    Generator own(seed);
    return estimate_bound(*model->likelihood(), std::vector{batch}, options, own);
  }
  /// Makes some tokens far more likely than all others, everywhere.
  void prefer(const std::vector<int32_t>& tokens) {
    for (const NamedParameter& parameter : model->parameters()) {
      if (parameter.name != "head.bias") continue;
      std::vector<float> bias(static_cast<size_t>(task.tokenizer().vocabulary_size()), 0.f);
      for (int32_t token : tokens) bias[static_cast<size_t>(token)] = 100.f;
      copy_into(parameter.variable->value(), Tensor::from(bias, {std::ssize(bias)}));
    }
  }
};

}  // namespace

TEST_CASE("texts hold <pad> and <unk> only where that is asked for, and end where they end") {
  for (const char* sampler : {"ancestral", "first-hitting", "top-margin", "confidence"}) {
    UntrainedModel untrained({std::string("sample.sampler=") + sampler});
    untrained.prefer({Tokenizer::kPad, Tokenizer::kUnknown, Tokenizer::kEnd});
    const auto sample = [&] {
      std::vector<int32_t> tokens;
      for (const auto& text : untrained.sample({.count = 50, .seed = 2})) {
        CHECK(text.back() == Tokenizer::kEnd);
        tokens.insert(tokens.end(), text.begin(), text.end() - 1);
      }
      return tokens;
    };
    const auto is_special = [](int32_t token) {
      return token == Tokenizer::kPad || token == Tokenizer::kUnknown;
    };
    const std::vector<int32_t> without = sample();
    CHECK(std::none_of(without.begin(), without.end(), is_special));
    CHECK(std::count(without.begin(), without.end(), Tokenizer::kEnd) == 0);
    untrained.settings.set("sample.special_tokens", true);
    const std::vector<int32_t> with = sample();
    CHECK(std::all_of(with.begin(), with.end(), is_special));
  }
}

TEST_CASE("where examples are cut from a stream of texts, the end token is one like the others") {
  UntrainedModel untrained({"data.layout=packed"});
  untrained.prefer({Tokenizer::kEnd});
  for (const auto& text : untrained.sample({.count = 5, .length = 6, .seed = 2}))
    CHECK(std::count(text.begin(), text.end(), Tokenizer::kEnd) == 6);
}

TEST_CASE("infilling writes no <unk> either, and the likelihood still knows it") {
  UntrainedModel untrained;
  untrained.prefer({Tokenizer::kUnknown});
  for (const auto& text : untrained.sample({.gapped = "Ondine is _ _ pub .", .seed = 3}))
    CHECK(std::count(text.begin(), text.end(), Tokenizer::kUnknown) == 0);
  CHECK(untrained.bound({std::vector<int32_t>(5, Tokenizer::kUnknown)}, {}, 3).nats_per_unit() < 0.01);
}

TEST_CASE("in discrete time one t a text has the sum over every t as its mean (4 standard errors)") {
  const UntrainedModel untrained({"model=d3pm", "d3pm.steps=8"});
  std::vector<int32_t> tokens = words().encode(kText);
  tokens.push_back(Tokenizer::kEnd);
  const std::vector<std::vector<int32_t>> texts(30, tokens);
  const BoundEstimate drawn = untrained.bound(texts, {.passes = 200}, 4),
                      every = untrained.bound(texts, {.passes = 40, .every_term = true}, 5);
  CHECK(std::abs(drawn.nats - every.nats) < 4 * std::hypot(drawn.standard_error, every.standard_error));
  CHECK(drawn.standard_error < 0.02 * drawn.nats);
}

TEST_CASE("in continuous time there is no sum over every t") {
  const UntrainedModel untrained;
  CHECK_THROWS_WITH_AS(untrained.bound({words().encode(kText)}, {.every_term = true}, 5),
                       "bound: this model's bound is no sum of terms", Error);
}

TEST_CASE("the error of a share is that of Agresti and Coull, and covers where none or all are counted") {
  CHECK(share_error(0, 16) == doctest::Approx(std::sqrt(0.1 * 0.9 / 20)).epsilon(1e-12));
  CHECK(share_error(16, 16) == doctest::Approx(std::sqrt(0.1 * 0.9 / 20)).epsilon(1e-12));
  CHECK(share_error(48, 96) == doctest::Approx(0.05).epsilon(1e-12));
  // Exactly, over the binomial distribution: the truth lies within two errors of the plain share
  // more than 88 times in 100, for rare shares as for others. Of sqrt(share (1 - share) / all) it would be 33
  // in 100 at 0.02.
  constexpr int kAll = 20;
  for (double truth : {0.02, 0.1, 0.5, 0.95, 0.99}) {
    double covered = 0;
    for (int k = 0; k <= kAll; ++k) {
      const double log_choices = std::lgamma(kAll + 1.0) - std::lgamma(k + 1.0) - std::lgamma(kAll - k + 1.0);
      const double probability =
          std::exp(log_choices + k * std::log(truth) + (kAll - k) * std::log(1 - truth));
      if (std::abs(static_cast<double>(k) / kAll - truth) < 2 * share_error(k, kAll)) covered += probability;
    }
    CAPTURE(truth);
    CHECK(covered > 0.88);
  }
}

TEST_CASE("words and punctuation: gaps and prompts know which marks stand beside words") {
  const std::string text = "Ondine's \"pub\", a small one, is near. Go";
  TokenCounter counter(TokenizerKind::word_punctuation);
  counter.add(text);
  const Settings settings = settings_with({"data.tokenizer=word-punctuation"});
  const TextTask task(settings, "", counter.build(1), LengthDistribution({0, 0, 0, 1, 0, 3}));
  const Tokenizer& tokenizer = task.tokenizer();
  const auto start_of = [&](const SampleRequest& request) {
    return task.requests(settings, {.length = true, .prompt = true, .gaps = true}, request).front();
  };
  const auto filled = [&](const std::string& gapped, const std::string& word) {
    Request request = start_of({.gapped = gapped});
    for (size_t i = 0; i < request.start.size(); ++i) {
      if (!request.fixed[i]) request.start[i] = tokenizer.encode(word).at(0);
    }
    return task.written({.texts = {request.start}}, 0);
  };
  CHECK(filled("\"_\", a _ one, is _.", "pub") == "\"pub\", a pub one, is pub.");
  CHECK(filled("_ is _ near", "Go") == "Go is Go near");
  for (const std::string prompt : {"Ondine's \"pub\",", "Ondine's \"pub\", "}) {
    Request request = start_of({.length = 9, .prompt = prompt});
    request.start[5] = tokenizer.encode("Go").at(0);
    CHECK(request.fixed == std::vector<uint8_t>{1, 1, 1, 1, 1, 0, 0, 0, 1});
    request.start.resize(6);
    CHECK(task.written({.texts = {request.start}}, 0) == "Ondine's \"pub\", Go");
  }
  CHECK(error_of([&] { start_of({.gapped = "_ ; is"}); }) ==
        "infill: the model does not know the word or mark ';'");
  CHECK(error_of([&] { start_of({.gapped = "_ go"}); }) ==
        "infill: the model does not know the word or mark 'go'; did you mean 'Go'?");
  CHECK(error_of([&] { start_of({.gapped = "Go,_"}); }) ==
        "infill: the model does not know the word or mark ',' with these blanks beside it; it knows 'a, b'");
  // An opening mark at a prompt's end stands at once before the text that follows.
  for (const std::string prompt : {"\"", "Ondine's \""}) {
    Request request = start_of({.length = 9, .prompt = prompt});
    const auto given = std::count(request.fixed.begin(), request.fixed.end() - 1, 1);
    request.start[static_cast<size_t>(given)] = tokenizer.encode("Go").at(0);
    request.start.resize(static_cast<size_t>(given) + 1);
    CHECK(task.written({.texts = {request.start}}, 0) == prompt + "Go");
  }
  CHECK(error_of([&] { start_of({.prompt = "Ondine's 'pub"}); }) ==
        "prompt: the model does not know the word or mark '\''");
  // A trace shows marks without their joiners, set apart by blanks.
  const std::vector<std::vector<int32_t>> texts{tokenizer.encode("pub, a")};
  const TraceStep step = task.trace_step({.texts = &texts}, 0);
  CHECK(step.tokens == TraceTokens{"pub", ",", "a"});
  CHECK(task.new_trace({}).separator == " ");
}

TEST_CASE("controls that count words are refused where tokens are no words") {
  for (const char* kind : {"character", "word-punctuation"}) {
    const Settings settings = settings_with({std::string("data.tokenizer=") + kind});
    TokenCounter counter(tokenizer_kind(kind));
    counter.add(kText);
    const TextTask task(settings, "", counter.build(1), LengthDistribution({0, 0, 0, 1, 0, 3}));
    const std::vector<ControlTarget> targets{{.kind = ControlKind::length, .words = 4}};
    CHECK(error_of([&] { controlled_request(task, settings, {.length = true}, {}, targets, {}); }) ==
          std::string("the control length counts words, and the run has data.tokenizer ") + kind +
              "; word makes every word a token");
  }
}

TEST_CASE("samples of a raw text keep its line ends and hold no end token") {
  TokenCounter counter(TokenizerKind::character);
  counter.add("ab\n");
  const Settings settings =
      settings_with({"data.train=a.txt", "data.format=raw", "data.tokenizer=character"});
  CHECK(settings.text("data.layout") == "packed");
  const TextTask task(settings, "", counter.build(1), LengthDistribution({0, 0, 0, 0, 1}));
  const std::vector<int32_t> tokens = task.tokenizer().encode("\na\n\nb\n");
  CHECK(task.written({.texts = {tokens}}, 0) == "\na\n\nb\n");
  for (const bool length : {true, false}) {
    const std::vector<int32_t> forbidden = task.forbidden_tokens(settings, {.length = length});
    CHECK(std::count(forbidden.begin(), forbidden.end(), Tokenizer::kEnd) == 1);
  }
}
