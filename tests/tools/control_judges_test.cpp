#include "haze/tools/tasks/control_judges.h"

#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include "haze/tools/corpus/corpus.h"

#include "error_of.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

ControlTarget length(int64_t words) {
  return {.kind = ControlKind::length, .words = words};
}

ControlTarget tags(std::vector<std::string> tags) {
  const auto words = std::ssize(tags);
  return {.kind = ControlKind::pos, .tags = std::move(tags), .words = words};
}

Settings settings(std::vector<std::string> more) {
  more.insert(more.begin(), "model=diffusion_lm");
  return tiny_settings(more);
}

}  // namespace

TEST_CASE("the best of each target's texts counts, and the first of equal ones") {
  const std::vector<double> numbers = {0.2, 0.7, 0.7, 0.5, 0.1, 0.4, 0, 0, 0};
  CHECK(best_of_tries(numbers, 3) == std::vector<size_t>{1, 3, 6});
  CHECK(best_of_tries(numbers, 1).size() == 9);
}

TEST_CASE("the success of several properties is the product of theirs, for each text of its target") {
  const CorpusLine line = generate_line(3, 5);
  const std::string text = fmt::format("{}", fmt::join(line.words, " "));
  std::vector<std::string> half = line.tags;  // of the text, with a wrong tag in front
  half.front() = "X";
  const auto words = std::ssize(line.words);
  const double share = 1 - 1 / static_cast<double>(words);
  const ControlJudges judges(settings({}), 48);
  const std::vector<WantedProperties> targets = {{tags(half), length(words)},
                                                 {tags(half), length(words + 9)}};
  const std::vector<double> found = judges.successes(targets, {text, "", text, ""});
  REQUIRE(found.size() == 4);
  CHECK(found[0] == doctest::Approx(share));
  CHECK(found[1] == 0);
  CHECK(found[2] == 0);  // the tags are as good, and the length is wrong
  CHECK(found[3] == 0);
  CHECK_FALSE(judges.nats({text}).has_value());
}

TEST_CASE("a tagger judges tags of real texts alone, and a control that nobody can judge is refused") {
  TemporaryFolder folder;
  const std::string tagger = (folder / "tagger").string(), lm = (folder / "lm").string();
  Trainer::start(
      tiny_settings({"model=spelling_tagger", "train.steps=2", "data.max_length=20", "data.too_long=skip"}),
      quiet(tagger))
      ->run();
  Trainer::start(
      tiny_settings({"model=autoregressive", "train.steps=2", "data.max_length=20", "data.too_long=skip"}),
      quiet(lm))
      ->run();
  const std::string real = "control.target_file=targets.jsonl";
  const ControlJudges judges(settings({real, "control.pos_judge=" + tagger, "control.judge=" + lm}), 20);
  judges.require({tags({"NOUN"}), length(1)});
  CHECK(error_of([&] { judges.require({tags({"NOUNS"})}); }) ==
        "part of speech: there is no 'NOUNS'; did you mean 'NOUN'?");
  CHECK(
      error_of([&] { judges.require({{.kind = ControlKind::tree}}); }) ==
      "the control tree is measured on the built-in corpus alone: only its grammar finds trees and phrases");
  // A text that the tagger could not read is measured by its length.
  const std::string longer = fmt::format("{}", fmt::join(std::vector<std::string>(30, "a"), " "));
  CHECK(judges.successes({{length(30)}}, {longer}) == std::vector<double>{1});
  // A language model that has learned nothing finds every word about equally likely.
  const double nats = judges.nats({"The food is good ."})->at(0);
  CHECK(nats > 4);
  CHECK(nats < 9);
  CHECK(error_of([&] {
          ControlJudges(settings({real}), 20).require({tags({"NOUN"})});
        }).find("needs a tagger of clean texts") != std::string::npos);
  CHECK(error_of([&] { ControlJudges(settings({"control.judge=" + lm}), 21); }) ==
        "control.judge: the judge reads 20 tokens, and texts may have 21");
  CHECK(error_of([&] {
          ControlJudges(settings({"control.judge=" + tagger}), 20);
        }).find("control.judge names a run of the model spelling_tagger; a judge is") == 0);
  CHECK(error_of([&] { ControlJudges(settings({"control.pos_judge=" + lm}), 20); }).find("tags no texts") !=
        std::string::npos);
}
