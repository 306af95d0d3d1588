#include "haze/tools/tasks/text_requests.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm_model.h"
#include "haze/engine/error.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/training_settings.h"
#include "haze/tools/tasks/gapped_text.h"
#include "haze/tools/tasks/text_task.h"

#include "text_tokenizer.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

constexpr int64_t kLongest = 8;

Tokenizer words() {
  return tokenizer_of("word", "Ondine is a small pub .");
}

/// A masked model, not trained, of these words; it takes 8 tokens.
struct UntrainedModel {
  Settings settings = tiny_settings({"data.max_length=8"});
  TextTask task{settings, "", words(), LengthDistribution({0, 0, 0, 1, 0, 3, 0, 0, 0})};
  Generator generator{1};
  std::unique_ptr<Model> model = make_model(settings, task.facts(), generator);
};

Request gapped_of(const Tokenizer& tokenizer, const std::string& text, bool ends_are_fixed = true) {
  Generator generator(7);
  return GappedText(tokenizer, text, kLongest, ends_are_fixed)
      .request(LengthDistribution({0, 0, 0, 0, 0, 1}), generator);
}
Request gapped(const std::string& text) {
  return gapped_of(words(), text);
}

}  // namespace

TEST_CASE("a text's words are given, every _ is open, and an end token follows") {
  const Request request = gapped("Ondine is _ _ pub .");
  CHECK(request.fixed == std::vector<uint8_t>{1, 1, 0, 0, 1, 1, 1});
  const std::vector<int32_t> given = words().encode("Ondine is pub .");
  CHECK(request.start[0] == given[0]);
  CHECK(request.start[1] == given[1]);
  CHECK(request.start[4] == given[2]);
  CHECK(request.start[5] == given[3]);
  CHECK(request.start[6] == Tokenizer::kEnd);
}

TEST_CASE("gaps may stand at both ends, touch words, and be all there is") {
  CHECK(gapped("_ is _").fixed == std::vector<uint8_t>{0, 1, 0, 1});
  CHECK(gapped("is_pub").fixed == std::vector<uint8_t>{1, 0, 1, 1});
  CHECK(gapped("___").fixed == std::vector<uint8_t>{0, 0, 0, 1});
}

TEST_CASE("a character model's blanks are characters of the text") {
  const Tokenizer characters = tokenizer_of("character", "가나 다");
  const Request request = gapped_of(characters, "가_ 다");
  CHECK(request.fixed == std::vector<uint8_t>{1, 0, 1, 1, 1});
  CHECK(request.start[2] == characters.encode(" ")[0]);
  CHECK(error_of([&] { gapped_of(characters, "가_라"); }) ==
        "infill: the model does not know the character '라'");
}

TEST_CASE("a text that cannot be filled in gets one sentence that says why") {
  CHECK(error_of([&] { gapped("Ondine is a pub ."); }) ==
        "infill: the text has no gap; write _ for every token to be filled in");
  CHECK(error_of([&] { gapped(""); }).find("has no gap") != std::string::npos);
  CHECK(error_of([&] { gapped("Ondine is a large _"); }) ==
        "infill: the model does not know the word 'large'");
  CHECK(error_of([&] { gapped("a <end> _"); }) == "infill: the model does not know the word '<end>'");
  CHECK(error_of([&] { gapped("a a a a _ _ _"); }) == "no error");
  CHECK(error_of([&] { gapped("a a a a _ _ _ _"); }) ==
        "infill: the text has 9 tokens with its end, the model takes 8");
  CHECK(error_of([&] { gapped("_ \xff"); }).find("UTF-8") != std::string::npos);
}

TEST_CASE("a word that the model knows in another spelling is suggested") {
  CHECK(error_of([&] { gapped("Ondine is a _ pub."); }) ==
        "infill: the model does not know the word 'pub.'; did you mean 'pub .'?");
  CHECK(error_of([&] { gapped("ondine is a _"); }) ==
        "infill: the model does not know the word 'ondine'; did you mean 'Ondine'?");
  CHECK(error_of([&] { gapped("Ondine Is a _"); }) ==
        "infill: the model does not know the word 'Is'; did you mean 'is'?");
  CHECK(error_of([&] { gapped("Ondine ... _"); }) == "infill: the model does not know the word '...'");
}

TEST_CASE("blocks cut from a stream of texts get no end token") {
  CHECK(gapped_of(words(), "is _ a", false).fixed == std::vector<uint8_t>{1, 0, 1});
  CHECK(open_request(3, false).fixed == std::vector<uint8_t>{0, 0, 0});
}

TEST_CASE("requests have the length asked for, or one of the texts', and an end where it is fixed") {
  const UntrainedModel untrained;
  const Uses uses{.length = true};
  const auto requests = [&](int64_t count, int64_t length) {
    return untrained.task.requests(untrained.settings, uses, {.count = count, .length = length, .seed = 4});
  };
  for (const Request& request : requests(3, 7)) {
    CHECK(request.fixed == std::vector<uint8_t>{0, 0, 0, 0, 0, 0, 1});
    CHECK(request.start.back() == Tokenizer::kEnd);
    CHECK(request.start.size() == 7);
  }
  CHECK(requests(0, 7).empty());
  int of_three = 0;
  for (const Request& request : requests(400, 0)) {
    const size_t length = request.start.size();
    REQUIRE((length == 3 || length == 5));
    of_three += length == 3;
  }
  // 400 draws of probability 1/4: mean 100, standard deviation 8.7; 99.9% lie within 3.3 of them.
  CHECK(of_three > 71);
  CHECK(of_three < 129);
  for (int64_t length : {-1, 9})
    CHECK(error_of([&] { requests(1, length); }).find("outside 1..8") != std::string::npos);
}

TEST_CASE("a text depends on the seed and its number alone, whatever the count") {
  const UntrainedModel untrained;
  const auto texts = [&](int64_t count) {
    return draw_samples(*untrained.model, untrained.task, untrained.settings, {.count = count, .seed = 9})
        .texts;
  };
  const auto few = texts(3), many = texts(11);
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
}

TEST_CASE("a prompt is the beginning of a text, at least one token shorter than it") {
  const UntrainedModel untrained;
  const auto request = [&](const Uses& uses, const std::string& prompt) {
    return untrained.task.requests(untrained.settings, uses, {.prompt = prompt}).front();
  };
  const std::vector<int32_t> tokens = words().encode("Ondine is a");
  const Request open_end = request({.prompt = true}, "Ondine is a");
  CHECK(open_end.start == tokens);
  CHECK(open_end.fixed == std::vector<uint8_t>{1, 1, 1});
  const Request of_length = request({.length = true, .gaps = true}, "Ondine is a");
  CHECK(std::equal(tokens.begin(), tokens.end(), of_length.start.begin()));
  CHECK(of_length.start.size() >= 4);
  CHECK(of_length.fixed[2] == 1);
  CHECK(of_length.fixed[3] == (of_length.start.size() == 4));
  CHECK(error_of([&] { request({.prompt = true}, "Ondine flies"); }) ==
        "prompt: the model does not know the word 'flies'");
  CHECK(error_of([&] { request({.prompt = true}, "a a a a a a a a"); }) ==
        "prompt: it has 8 tokens, and the model takes 8 with the end token");
}

TEST_CASE("a prompted text's length is one of the longer training texts' (chi-squared, 99.9% confidence)") {
  const UntrainedModel untrained;
  const std::vector<int64_t> counts = {0, 4, 2, 50, 10, 25, 0, 5, 0};
  const TextTask task(untrained.settings, "", words(), LengthDistribution(counts));
  constexpr int kDraws = 2000, kLonger = 40;  // texts of more than the prompt's three tokens
  const std::vector<Request> requests = task.requests(untrained.settings, {.length = true, .gaps = true},
                                                      {.count = kDraws, .prompt = "Ondine is a", .seed = 6});
  std::vector<int> drawn(counts.size());
  for (const Request& request : requests) ++drawn.at(request.start.size());
  double statistic = 0;
  for (size_t length = 0; length < counts.size(); ++length) {
    if (length <= 3 || counts[length] == 0) {
      CHECK(drawn[length] == 0);
      continue;
    }
    const double expected = kDraws * static_cast<double>(counts[length]) / kLonger;
    statistic += (drawn[length] - expected) * (drawn[length] - expected) / expected;
  }
  CHECK(statistic < 13.816);  // 99.9% of chi-squared with 2 degrees of freedom
}

TEST_CASE("a prompt longer than every training text gets the longest text; a length must exceed the prompt") {
  const UntrainedModel untrained;  // its longest training text has 5 tokens, and it takes 8
  const auto length_of = [&](const std::string& prompt, int64_t length) {
    return untrained.task
        .requests(untrained.settings, {.length = true, .gaps = true}, {.length = length, .prompt = prompt})
        .front()
        .start.size();
  };
  CHECK(length_of("a a a a", 0) == 5);
  CHECK(length_of("a a a a a", 0) == 8);
  CHECK(length_of("a a a a a a a", 0) == 8);
  CHECK(length_of("a a a a", 5) == 5);
  CHECK(error_of([&] { length_of("a a a a", 4); }) == "a text of 4 tokens has no room after the prompt's 4");
  CHECK(error_of([&] { length_of("a a a a", 2); }) == "a text of 2 tokens has no room after the prompt's 4");
}

TEST_CASE(
    "a sampler that ends texts by itself and fills gaps takes a length, as an end token that is given") {
  const UntrainedModel untrained;
  const Uses uses{.prompt = true, .gaps = true};
  const Request request =
      untrained.task.requests(untrained.settings, uses, {.length = 5, .prompt = "Ondine is"})[0];
  CHECK(request.fixed == std::vector<uint8_t>{1, 1, 0, 0, 1});
  CHECK(request.start[4] == Tokenizer::kEnd);
  CHECK(untrained.task.requests(untrained.settings, uses, {.prompt = "Ondine is"})[0].start.size() == 2);
  const auto refusal = [&] { untrained.task.requests(untrained.settings, {.prompt = true}, {.length = 5}); };
  CHECK(error_of(refusal) == "the model mdlm decides by itself where a text ends; it takes no length");
}

TEST_CASE("a label is called by its field and value, and the nearest is named where there is none") {
  const UntrainedModel untrained;
  CHECK(error_of([&] { untrained.task.label_called("food", "Thai"); }) ==
        "the run has no labels; data.task labelled with data.label gives it some");
  Settings settings(settings_table(diffusion_lm_model()));
  for (const char* change : {"data.task=labelled", "data.label=food"}) settings.override_with(change);
  const Labels labels = Labels::from_json(R"({"labels": ["none", "Thai", "Greek"]})", "labels");
  const TextTask task(settings, "", words(), LengthDistribution({0, 0, 0, 1}), labels);
  CHECK(task.label_called("food", "Greek") == 2);
  CHECK(error_of([&] { task.label_called("food", "Greak"); }) ==
        "food: there is no 'Greak'; did you mean 'Greek'?");
  CHECK(error_of([&] { task.label_called("food", "Vietnamese"); }) ==
        "food: there is no 'Vietnamese'; there are Thai, Greek");
  CHECK(error_of([&] { task.label_called("area", "Greek"); }) ==
        "the run has labels of the field 'food', not of 'area'");
}

TEST_CASE("what a sampler cannot do is refused with the model's name") {
  const UntrainedModel untrained;
  const auto refusal = [&](const Uses& uses, const SampleRequest& request) {
    return error_of([&] { untrained.task.requests(untrained.settings, uses, request); });
  };
  CHECK(refusal({}, {.gapped = "a _"}) == "the model mdlm cannot infill texts");
  CHECK(refusal({}, {.prompt = "a"}) == "the model mdlm takes no prompt");
  CHECK(refusal({}, {.length = 5}) ==
        "the model mdlm decides by itself where a text ends; it takes no length");
  CHECK(refusal({.length = true}, {.source = "a"}) ==
        "the model mdlm was not trained on pairs; it takes no source");
}

TEST_CASE("a written text has no end token at its end") {
  std::vector<int32_t> tokens = words().encode("Ondine is a pub");
  CHECK(written_text(words(), tokens) == "Ondine is a pub");
  tokens.push_back(Tokenizer::kEnd);
  CHECK(written_text(words(), tokens) == "Ondine is a pub");
  tokens.push_back(Tokenizer::kEnd);
  CHECK(written_text(words(), tokens) == "Ondine is a pub <end>");
  CHECK(written_text(words(), {}).empty());
}

TEST_CASE("a block cut from a stream shows each text on a line of its own, and no end token") {
  std::vector<int32_t> tokens = words().encode("a pub");
  tokens.push_back(Tokenizer::kEnd);
  CHECK(written_stream(words(), tokens) == "a pub");
  tokens.push_back(words().encode("Ondine")[0]);
  CHECK(written_stream(words(), tokens) == "a pub\nOndine");
  CHECK(written_stream(words(), {}).empty());
}

TEST_CASE("a trace begins with the masks, ends with the text, and never changes a token that has appeared") {
  const UntrainedModel untrained;
  const std::vector<Request> requests = {open_request(4, false), gapped("Ondine _ a _ _")};
  TraceKeeper keeper(untrained.task, requests[1], 1);
  const Samples samples = draw_samples(*untrained.model, untrained.task, untrained.settings, requests, 6,
                                       [&](const Snapshot& snapshot) { keeper.observe(snapshot); });
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
    CHECK(trace.steps.back().tokens[i] == (shown ? std::string(words().token(token)) : ""));
  }
}
