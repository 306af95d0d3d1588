#include "haze/tools/tasks/control_target.h"

#include <doctest/doctest.h>

#include "haze/tools/corpus/corpus.h"

#include "error_of.h"

using namespace haze;
using haze::testing::error_of;

namespace {

const std::vector<std::string> kLabels = {"ROOT", "S", "NP", "VP", "PP", "ADJP", "ADVP", "SBAR", "WHNP"};

}  // namespace

TEST_CASE("a tree is read with its words, tags and constituents") {
  const BracketedText text =
      read_brackets("(ROOT (S (NP (PRP It)) (VP (VBZ is) (NP (DT a) (NN pub))) (. .)))", kLabels);
  CHECK(text.words == std::vector<std::string>{"It", "is", "a", "pub", "."});
  CHECK(text.tags == std::vector<std::string>{"PRP", "VBZ", "DT", "NN", "."});
  CHECK(text.constituents == std::vector<Constituent>{{0, 5, "S"}, {0, 1, "NP"}, {1, 4, "VP"}, {2, 4, "NP"}});
}

TEST_CASE("a tree without tags holds its words alone, and several trees follow one another") {
  const BracketedText text = read_brackets("(S (NP *) (VP * (NP * *)) *) (S *)", kLabels);
  CHECK(text.words.size() == 6);
  CHECK(text.tags == std::vector<std::string>(6));
  CHECK(text.constituents ==
        std::vector<Constituent>{{0, 5, "S"}, {0, 1, "NP"}, {1, 4, "VP"}, {2, 4, "NP"}, {5, 6, "S"}});
}

TEST_CASE("trees of the built-in corpus are written and read again, without words and tags") {
  for (uint64_t index = 0; index < 300; ++index) {
    const CorpusLine line = generate_line(7, index);
    const BracketedText text = read_brackets(line.tree, kLabels);
    REQUIRE(text.words == line.words);
    REQUIRE(text.tags.size() == line.tags.size());
    const std::string written = written_brackets(text.constituents, std::ssize(text.words));
    REQUIRE(read_brackets(written, kLabels).constituents == text.constituents);
  }
}

TEST_CASE("a damaged tree is refused in a sentence") {
  const auto read = [](const char* text) { return error_of([&] { read_brackets(text, kLabels); }); };
  CHECK(read("(S (NP it)") == "the tree (S (NP it): 1 of its brackets do not close");
  CHECK(read("(S it))") == "the tree (S it)): it closes a bracket that is not open");
  CHECK(read("((S it))") == "the tree ((S it)): a bracket has no label");
  CHECK(read("(") == "the tree (: a bracket has no label");
  CHECK(read("(S (NP) it)") == "the tree (S (NP) it): the bracket of NP holds no word");
  CHECK(read("") == "the tree : it has no words");
  CHECK(read("(S it) is") == "the tree (S it) is: 'is' stands outside every bracket");
  const std::vector<Constituent> crossing = {{0, 2, "NP"}, {1, 3, "VP"}};
  CHECK(error_of([&] { written_brackets(crossing, 3); }) ==
        "the VP of words 1 to 2 crosses the end of another, or of the text");
  const std::vector<Constituent> out_of_order = {{1, 2, "NP"}, {0, 3, "S"}};
  CHECK(error_of([&] { written_brackets(out_of_order, 3); }) == "the S of words 0 to 2 is out of order");
}

TEST_CASE("a control is written as models read it") {
  const AnnotatedText text{.fields = {{"food", "Japanese"}, {"area", "old town"}},
                           .words = {"It", "is", "a", "pub"},
                           .tags = {"PRON", "AUX", "DET", "NOUN"},
                           .constituents = {{0, 4, "S"}, {0, 1, "NP"}, {1, 4, "VP"}, {2, 4, "NP"}}};
  const auto written = [&](ControlKind kind, uint64_t choice) {
    return target_from(kind, text, choice)->written();
  };
  CHECK(written(ControlKind::semantic, 3) == "semantic area : old town");
  CHECK(written(ControlKind::pos, 0) == "pos PRON AUX DET NOUN");
  CHECK(written(ControlKind::tree, 0) == "tree ( S ( NP * ) ( VP * ( NP * * ) ) )");
  CHECK(written(ControlKind::span, 3) == "span 2 3 NP");
  CHECK(written(ControlKind::length, 0) == "length 4");
  CHECK_FALSE(target_from(ControlKind::semantic, {.words = {"a"}}, 0));
  CHECK(control_kind("span") == ControlKind::span);
  CHECK(error_of([] { control_kind("colour"); }) ==
        "there is no control 'colour'; there are semantic, pos, tree, span, length");
}
