#include "haze/tools/run/text_model.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/error.h"
#include "haze/tools/run/writing.h"

#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

const std::string kText = "Ondine is a small pub near the river .";

/// A model, not trained, of the words of kText.
std::unique_ptr<TextModel> untrained(std::vector<std::string> assignments = {}) {
  assignments.push_back("data.max_length=12");
  TokenCounter counter(TokenizerKind::word);
  counter.add(kText);
  Generator generator(1);
  return std::make_unique<TextModel>(tiny_settings(assignments), counter.build(1),
                                     LengthDistribution({0, 0, 0, 1, 0, 3}), generator);
}

/// Makes some tokens far more likely than all others, everywhere.
void prefer(TextModel& model, const std::vector<int32_t>& tokens) {
  for (const NamedParameter& parameter : model.denoiser().parameters()) {
    if (parameter.name != "head.bias") continue;
    std::vector<float> bias(static_cast<size_t>(model.tokenizer().vocabulary_size()), 0.f);
    for (int32_t token : tokens) bias[static_cast<size_t>(token)] = 100.f;
    copy_into(parameter.variable->value(), Tensor::from(bias, {std::ssize(bias)}));
  }
}

}  // namespace

TEST_CASE("texts hold <pad> and <unk> only where that is asked for, and end where they end") {
  for (const char* sampler : {"ancestral", "first-hitting", "top-margin"}) {
    const auto model = untrained({std::string("sample.sampler=") + sampler});
    prefer(*model, {Tokenizer::kPad, Tokenizer::kUnknown, Tokenizer::kEnd});
    const auto sample = [&] {
      Generator generator(2);
      std::vector<int32_t> words;
      for (const auto& text : model->sample(open_canvases(*model, 50, 0, generator), generator).texts) {
        CHECK(text.back() == Tokenizer::kEnd);
        words.insert(words.end(), text.begin(), text.end() - 1);
      }
      return words;
    };
    const auto is_special = [](int32_t token) {
      return token == Tokenizer::kPad || token == Tokenizer::kUnknown;
    };
    const std::vector<int32_t> without = sample();
    CHECK(std::none_of(without.begin(), without.end(), is_special));
    CHECK(std::count(without.begin(), without.end(), Tokenizer::kEnd) == 0);
    model->set("sample.special_tokens", true);
    const std::vector<int32_t> with = sample();
    CHECK(std::all_of(with.begin(), with.end(), is_special));
  }
}

TEST_CASE("where rows are cut from a stream of texts, the end token is one like the others") {
  const auto model = untrained({"data.layout=packed"});
  prefer(*model, {Tokenizer::kEnd});
  Generator generator(2);
  for (const auto& text : model->sample(open_canvases(*model, 5, 6, generator), generator).texts)
    CHECK(std::count(text.begin(), text.end(), Tokenizer::kEnd) == 6);
}

TEST_CASE("infilling writes no <unk> either, and the likelihood still knows it") {
  const auto model = untrained();
  prefer(*model, {Tokenizer::kUnknown});
  Generator generator(3);
  for (const auto& text : model->sample({canvas_of(*model, "Ondine is _ _ pub .")}, generator).texts)
    CHECK(std::count(text.begin(), text.end(), Tokenizer::kUnknown) == 0);
  const std::vector<int32_t> unknown(5, Tokenizer::kUnknown);
  const std::vector<std::span<const int32_t>> texts = {unknown};
  CHECK(model->bound(texts, {}, generator).nats_per_unit() < 0.01);
}

TEST_CASE("in discrete time one t a text has the sum over every t as its mean (4 standard errors)") {
  const auto model = untrained({"diffusion.time=discrete", "diffusion.steps=8"});
  std::vector<int32_t> tokens = model->tokenizer().encode(kText);
  tokens.push_back(Tokenizer::kEnd);
  const std::vector<std::span<const int32_t>> texts(30, tokens);
  Generator generator(4);
  const BoundEstimate drawn = model->bound(texts, {.passes = 200}, generator),
                      every = model->bound(texts, {.passes = 40, .every_step = true}, generator);
  CHECK(std::abs(drawn.nats - every.nats) < 4 * std::hypot(drawn.standard_error, every.standard_error));
  CHECK(drawn.standard_error < 0.02 * drawn.nats);
}

TEST_CASE("in continuous time there is no sum over every t") {
  const auto model = untrained();
  const std::vector<int32_t> tokens = model->tokenizer().encode(kText);
  const std::vector<std::span<const int32_t>> texts = {tokens};
  Generator generator(5);
  CHECK_THROWS_WITH_AS(model->bound(texts, {.every_step = true}, generator),
                       "bound: continuous time has no steps to sum over; discrete time has", Error);
}
