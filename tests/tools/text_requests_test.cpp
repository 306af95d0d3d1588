#include "haze/tools/run/writing.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// A model, not trained, of the words (or characters) of a text; it takes 8 tokens.
std::unique_ptr<TextModel> model_of(const std::string& kind, const std::string& text) {
  TokenCounter counter(tokenizer_kind(kind));
  counter.add(text);
  Generator generator(1);
  return std::make_unique<TextModel>(tiny_settings({"data.max_length=8"}), counter.build(1),
                                     LengthDistribution({0, 0, 0, 1, 0, 3, 0, 0, 0}), generator);
}

std::unique_ptr<TextModel> model_of_words() {
  return model_of("word", "Ondine is a small pub .");
}

}  // namespace

TEST_CASE("a text's words are given, every _ is open, and an end token follows") {
  const auto model = model_of_words();
  const Canvas canvas = canvas_of(*model, "Ondine is _ _ pub .");
  CHECK(canvas.fixed == std::vector<uint8_t>{1, 1, 0, 0, 1, 1, 1});
  const std::vector<int32_t> words = model->tokenizer().encode("Ondine is pub .");
  CHECK(canvas.tokens[0] == words[0]);
  CHECK(canvas.tokens[1] == words[1]);
  CHECK(canvas.tokens[4] == words[2]);
  CHECK(canvas.tokens[5] == words[3]);
  CHECK(canvas.tokens[6] == Tokenizer::kEnd);
}

TEST_CASE("gaps may stand at both ends, touch words, and be all there is") {
  const auto model = model_of_words();
  CHECK(canvas_of(*model, "_ is _").fixed == std::vector<uint8_t>{0, 1, 0, 1});
  CHECK(canvas_of(*model, "is_pub").fixed == std::vector<uint8_t>{1, 0, 1, 1});
  CHECK(canvas_of(*model, "___").fixed == std::vector<uint8_t>{0, 0, 0, 1});
}

TEST_CASE("a character model's blanks are characters of the text") {
  const auto model = model_of("character", "가나 다");
  const Canvas canvas = canvas_of(*model, "가_ 다");
  CHECK(canvas.fixed == std::vector<uint8_t>{1, 0, 1, 1, 1});
  CHECK(canvas.tokens[2] == model->tokenizer().encode(" ")[0]);
  CHECK(error_of([&] { canvas_of(*model, "가_라"); }) ==
        "infill: the model does not know the character '라'");
}

TEST_CASE("a text that cannot be filled in gets one sentence that says why") {
  const auto model = model_of_words();
  CHECK(error_of([&] { canvas_of(*model, "Ondine is a pub ."); }) ==
        "infill: the text has no gap; write _ for every token to be filled in");
  CHECK(error_of([&] { canvas_of(*model, ""); }).find("has no gap") != std::string::npos);
  CHECK(error_of([&] { canvas_of(*model, "Ondine is a large _"); }) ==
        "infill: the model does not know the word 'large'");
  CHECK(error_of([&] { canvas_of(*model, "a <end> _"); }) ==
        "infill: the model does not know the word '<end>'");
  CHECK(error_of([&] { canvas_of(*model, "a a a a _ _ _"); }) == "no error");
  CHECK(error_of([&] { canvas_of(*model, "a a a a _ _ _ _"); }) ==
        "infill: the text has 9 tokens with its end, the model takes 8");
  CHECK(error_of([&] { canvas_of(*model, "_ \xff"); }).find("UTF-8") != std::string::npos);
}

TEST_CASE("a word that the model knows in another spelling is suggested") {
  const auto model = model_of_words();
  CHECK(error_of([&] { canvas_of(*model, "Ondine is a _ pub."); }) ==
        "infill: the model does not know the word 'pub.'; did you mean 'pub .'?");
  CHECK(error_of([&] { canvas_of(*model, "ondine is a _"); }) ==
        "infill: the model does not know the word 'ondine'; did you mean 'Ondine'?");
  CHECK(error_of([&] { canvas_of(*model, "Ondine Is a _"); }) ==
        "infill: the model does not know the word 'Is'; did you mean 'is'?");
  CHECK(error_of([&] { canvas_of(*model, "Ondine ... _"); }) ==
        "infill: the model does not know the word '...'");
}

TEST_CASE("open canvases have the length asked for, or one of the model's, and an end where it is fixed") {
  const auto model = model_of_words();
  Generator generator(4);
  for (const Canvas& canvas : open_canvases(*model, 3, 7, generator)) {
    CHECK(canvas.fixed == std::vector<uint8_t>{0, 0, 0, 0, 0, 0, 1});
    CHECK(canvas.tokens.back() == Tokenizer::kEnd);
    CHECK(canvas.tokens.size() == 7);
  }
  CHECK(open_canvases(*model, 0, 7, generator).empty());
  int of_three = 0;
  for (const Canvas& canvas : open_canvases(*model, 400, 0, generator)) {
    const size_t length = canvas.tokens.size();
    REQUIRE((length == 3 || length == 5));
    of_three += length == 3;
  }
  // 400 draws of probability 1/4: mean 100, standard deviation 8.7; 99.9% lie within 3.3 of them.
  CHECK(of_three > 71);
  CHECK(of_three < 129);
  for (int64_t length : {-1, 9}) {
    CHECK(error_of([&] { open_canvases(*model, 1, length, generator); }).find("outside 1..8") !=
          std::string::npos);
  }
}

TEST_CASE("a written text has no end token at its end") {
  const auto model = model_of_words();
  std::vector<int32_t> tokens = model->tokenizer().encode("Ondine is a pub");
  CHECK(written(*model, tokens) == "Ondine is a pub");
  tokens.push_back(Tokenizer::kEnd);
  CHECK(written(*model, tokens) == "Ondine is a pub");
  tokens.push_back(Tokenizer::kEnd);
  CHECK(written(*model, tokens) == "Ondine is a pub <end>");
  CHECK(written(*model, {}).empty());
}

TEST_CASE("a trace begins with the masks, ends with the text, and never changes a token that has appeared") {
  const auto model = model_of_words();
  const std::vector<Canvas> canvases = {Canvas::open(4), canvas_of(*model, "Ondine _ a _ _")};
  TraceKeeper keeper(*model, canvases[1], 1);
  Generator generator(6);
  const Samples samples = model->sample(canvases, generator, keeper.observer());
  const Trace& trace = keeper.trace();
  CHECK(trace.fixed == std::vector<bool>{true, false, true, false, false, true});
  REQUIRE(trace.steps.size() >= 2);
  const TraceTokens& start = trace.steps.front().tokens;
  REQUIRE(start.size() == 6);
  CHECK(start[0] == "Ondine");
  CHECK(!start[1].has_value());
  CHECK(start[5] == "");
  for (size_t step = 1; step < trace.steps.size(); ++step) {
    CHECK(trace.steps[step].tokens != trace.steps[step - 1].tokens);
    for (size_t i = 0; i < start.size(); ++i) {
      const auto& before = trace.steps[step - 1].tokens[i];
      if (before) CHECK(trace.steps[step].tokens[i] == before);
    }
  }
  for (size_t i = 0; i < 5; ++i) {
    const int32_t token = samples.texts[1][i];
    const bool shown = token != Tokenizer::kEnd && token != Tokenizer::kPad;
    CHECK(trace.steps.back().tokens[i] == (shown ? std::string(model->tokenizer().token(token)) : ""));
  }
}
