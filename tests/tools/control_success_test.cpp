#include "haze/tools/tasks/control_success.h"

#include <iterator>
#include <sstream>

#include <doctest/doctest.h>

#include "haze/tools/corpus/corpus.h"
#include "haze/tools/tasks/text_annotations.h"

#include "error_of.h"
#include "temporary_folder.h"

using namespace haze;
using haze::testing::error_of;

namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

double success(const ControlTarget& target, const std::string& text) {
  return control_success(target, words_of(text));
}

}  // namespace

TEST_CASE("each property of a corpus text is found in it, and seldom in another") {
  double own = 0, other = 0;
  int all = 0;
  const auto line = [](uint64_t index) { return generate_line(11, index); };
  for (uint64_t index = 0; index < 60; ++index) {
    const CorpusLine from = line(index);
    AnnotatedText text{
        .words = from.words, .tags = from.tags, .constituents = read_corpus_tree(from.tree).constituents};
    for (const auto& [name, value] : from.fields) text.fields.push_back({name, value});
    for (const Field& field : text.fields)
      CHECK(control_success({.kind = ControlKind::semantic, .semantic = field}, from.words) == 1);
    for (const ControlKind kind : control_kinds()) {
      const ControlTarget target = *target_from(kind, text, index);
      own += control_success(target, from.words);
      other += control_success(target, line(index + 100).words);
      ++all;
    }
  }
  CHECK(own == all);
  CHECK(other < 0.45 * all);
}

TEST_CASE("success in a text of no known grammar is that of its words and of a tagger's tags") {
  const auto found = [](const ControlTarget& target, const std::string& text,
                        const std::vector<std::string>& tags) {
    return control_success_by_tags(target, words_of(text), tags);
  };
  const ControlTarget price{.kind = ControlKind::semantic, .semantic = {"price", "less than £ 20"}};
  CHECK(found(price, "It costs less than £ 20 .", {}) == 1);
  CHECK(found(price, "It costs less than 20 £ .", {}) == 0);
  const ControlTarget tags{.kind = ControlKind::pos, .tags = {"PRON", "VERB", "NOUN", "PUNCT"}, .words = 4};
  CHECK(found(tags, "It sells food .", {"PRON", "VERB", "NOUN", "PUNCT"}) == 1);
  CHECK(found(tags, "It sells good food .", {"PRON", "VERB", "ADJ", "NOUN", "PUNCT"}) ==
        doctest::Approx(0.4));
  CHECK(found({.kind = ControlKind::length, .words = 3}, "It is a cheap pub", {}) == 1);
  CHECK(found({.kind = ControlKind::length, .words = 2}, "It is a cheap pub", {}) == 0);
  CHECK(error_of([&] { found({.kind = ControlKind::tree}, "It", {}); }) ==
        "the control tree: only the built-in grammar finds it, so targets are texts of the built-in corpus");
}

TEST_CASE("success is counted as the paper's tables count it") {
  const ControlTarget value{.kind = ControlKind::semantic, .semantic = {"area", "old town"}};
  CHECK(success(value, "It is in the old town .") == 1);
  CHECK(success(value, "It is in the old small town .") == 0);
  CHECK(success(value, "It is in the old towns .") == 0);
  const ControlTarget price{.kind = ControlKind::semantic, .semantic = {"price", "high"}};
  CHECK(success(price, "It has a high customer rating .") == 0);
  const ControlTarget length{.kind = ControlKind::length, .words = 5};
  CHECK(success(length, "It is cheap") == 1);
  CHECK(success(length, "It is") == 0);
  CHECK(success(length, "a b c d e f g") == 1);
  CHECK(success(length, "a b c d e f g h") == 0);
  const ControlTarget pos{.kind = ControlKind::pos, .tags = {"PRON", "AUX", "DET", "NOUN", "PUNCT"}};
  CHECK(success(pos, "It is a pub .") == 1);
  CHECK(success(pos, "It is cheap .") ==
        doctest::Approx(2.0 / 5));  // the tags of ADJ and PUNCT come too early
  CHECK(success(pos, "It is a pub . . . . . .") == doctest::Approx(5.0 / 10));
  const ControlTarget span{.kind = ControlKind::span, .constituents = {{2, 4, "NP"}}};
  CHECK(success(span, "It is a pub .") == 1);
  CHECK(success(span, "It is in the old town .") == 0);
}

TEST_CASE("the F1 of constituents counts labels, and equal ones once for each") {
  const std::vector<Constituent> wanted = {{0, 5, "S"}, {0, 1, "NP"}, {1, 4, "VP"}, {1, 4, "VP"}};
  CHECK(constituent_f1(wanted, wanted) == 1);
  CHECK(constituent_f1({{0, 5, "S"}, {0, 1, "VP"}, {1, 4, "VP"}}, wanted) == doctest::Approx(2 * 2.0 / 7));
  CHECK(constituent_f1({}, wanted) == 0);
  CHECK(constituent_f1({}, {}) == 1);
}

TEST_CASE("annotations are read beside their texts, and constituents of the same words share a class") {
  haze::testing::TemporaryFolder folder;
  write_corpus(folder / "corpus", {.seed = 3, .train = 20, .valid = 1, .test = 1});
  const std::filesystem::path texts = folder / "corpus/train.txt";
  const TextAnnotations tags = TextAnnotations::read(texts, Annotation::tags, 20);
  const TextAnnotations trees = TextAnnotations::read(texts, Annotation::trees, 20);
  CHECK(tags.words == trees.words);
  for (uint64_t i = 0; i < 20; ++i) CHECK(tags.tags[i] == generate_line(3, i).tags);
  for (const std::vector<Constituent>& spans : trees.spans) {
    for (size_t i = 0; i < spans.size(); ++i) {
      for (size_t j = 0; j < i; ++j)
        CHECK_FALSE((spans[i].begin == spans[j].begin && spans[i].end == spans[j].end));
    }
  }
  const std::vector<Constituent> joined =
      with_joined_labels({{0, 3, "S"}, {0, 3, "VP"}, {1, 3, "NP"}, {1, 2, "NP"}});
  CHECK(joined == std::vector<Constituent>{{0, 3, "S+VP"}, {1, 3, "NP"}, {1, 2, "NP"}});
  CHECK(holds_label("S+VP", "VP"));
  CHECK_FALSE(holds_label("S+VP", "V"));
  CHECK(error_of([&] { TextAnnotations::read(texts, Annotation::tags, 21); }) ==
        (folder / "corpus/train.tags").string() + " has 20 lines, and " + texts.string() +
            " has 21 texts: they have to agree line by line");
  std::filesystem::remove(folder / "corpus/train.trees");
  CHECK(error_of([&] { TextAnnotations::read(texts, Annotation::trees, 20); }) ==
        (folder / "corpus/train.trees").string() + ": cannot be read; the trees of " + texts.string() +
            " stand in it, line by line");
}
