#include "haze/tools/tasks/control_corpus.h"

#include <algorithm>
#include <map>
#include <sstream>

#include <doctest/doctest.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/tools/corpus/corpus.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
using nlohmann::json;

namespace {

std::vector<std::string> words_in(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

std::vector<json> pairs_of(const std::string& lines) {
  std::vector<json> pairs;
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) pairs.push_back(json::parse(line));
  return pairs;
}

/// Whether the grammar itself says that a text has what a written control asks for.
bool holds(const std::string& control, const std::string& text) {
  const std::vector<std::string> words = words_in(text), asked = words_in(control);
  const CorpusLine line = analyse_line(words).value();
  const std::string& kind = asked.at(0);
  if (kind == "length") return std::stoll(asked.at(1)) == std::ssize(words);
  if (kind == "pos") return control == fmt::format("pos {}", fmt::join(line.tags, " "));
  if (kind == "semantic") {
    return std::any_of(line.fields.begin(), line.fields.end(), [&](const auto& field) {
      return control == fmt::format("semantic {} : {}", field.first, field.second);
    });
  }
  const std::vector<Constituent> all = read_corpus_tree(line.tree).constituents;
  if (kind == "tree") return read_corpus_tree(control.substr(5)).constituents == all;
  const Constituent span{std::stoll(asked.at(1)), std::stoll(asked.at(2)) + 1, asked.at(3)};
  return kind == "span" && std::find(all.begin(), all.end(), span) != all.end();
}

const TemporaryFolder& corpus() {
  static const TemporaryFolder folder;
  static const bool written = [] {
    write_corpus(folder / "corpus", {.train = 300, .valid = 2, .test = 1});
    return true;
  }();
  REQUIRE(written);
  return folder;
}

}  // namespace

TEST_CASE("a text is paired with a property that it has by the grammar, of each kind about equally often") {
  const std::vector<AnnotatedText> texts = annotated_texts(corpus() / "corpus", "train");
  std::map<std::string, int> counts;
  for (const json& pair : pairs_of(controlled_lines(texts, control_kinds(), 1))) {
    const std::string control = pair.at("src"), text = pair.at("trg");
    CHECK_MESSAGE(holds(control, text), control, " || ", text);
    ++counts[control.substr(0, control.find(' '))];
  }
  REQUIRE(counts.size() == 5);
  for (const auto& [kind, count] : counts) CHECK_MESSAGE((count > 35 && count < 85), kind, " ", count);
}

TEST_CASE("a text's control depends on the seed, the kinds and the text's number alone") {
  const std::vector<AnnotatedText> texts = annotated_texts(corpus() / "corpus", "train");
  const std::vector<AnnotatedText> some(texts.begin(), texts.begin() + 40);
  const std::vector<ControlKind> kinds = {ControlKind::span, ControlKind::semantic};
  const std::string all = controlled_lines(texts, kinds, 3);
  CHECK(all.starts_with(controlled_lines(some, kinds, 3)));
  CHECK(controlled_lines(some, kinds, 4) != controlled_lines(some, kinds, 3));
  for (const json& pair : pairs_of(all)) {
    const std::string control = pair.at("src");
    CHECK((control.starts_with("span ") || control.starts_with("semantic ")));
  }
}

TEST_CASE("texts that have nothing of the kind are left out, and no text at all is an error") {
  AnnotatedText text{.words = {"a", "pub"}};
  CHECK(error_of([&] { controlled_lines({text}, {ControlKind::pos}, 1); }) ==
        "controls: no text has any of what is asked for");
  CHECK(error_of([&] { controlled_lines({text}, {}, 1); }) == "controls: no kind is asked for");
  AnnotatedText tagged = text;
  tagged.tags = {"DET", "NOUN"};
  CHECK(controlled_lines({text, tagged}, {ControlKind::pos}, 1) ==
        "{\"src\":\"pos DET NOUN\",\"trg\":\"a pub\"}\n");
}

TEST_CASE("files of a corpus that do not belong together are named with the line") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& text, const std::string& tags, const std::string& trees) {
    write_text(folder / "train.txt", text);
    write_text(folder / "train.tags", tags);
    write_text(folder / "train.trees", trees);
    const std::string message = error_of([&] { annotated_texts(folder.path(), "train"); });
    return message.substr(message.rfind("train."));
  };
  const std::string text = "name : Zork||Zork is a pub .\n", tags = "PROPN AUX DET NOUN PUNCT\n";
  const std::string tree = "(ROOT (S (NP (NNP Zork)) (VP (VBZ is) (NP (DT a) (NN pub))) (. .)))\n";
  write_text(folder / "train.txt", text);
  CHECK(error_of([&] { annotated_texts(folder.path(), "train"); }).find("train.tags: cannot be read") !=
        std::string::npos);
  CHECK(error(text, tags + tags, tree) == "train.txt has 1 texts: they have to agree line by line");
  CHECK(error(text, "PROPN\n", tree) == "train.tags:1: there are 1 tags for the text's 5 words");
  CHECK(
      error(text, tags, "(S (NP (NNP Zork))\n").starts_with("train.trees:1: the tree (S (NP (NNP Zork)): "));
  CHECK(error(text, tags, "(S (NP (NNP Zork)))\n") ==
        "train.trees:1: the tree has other words than the text");
}

TEST_CASE("a file beside the texts is read only for the controls that need it") {
  const TemporaryFolder folder;
  write_text(folder / "train.txt", "name : Zork||Zork is a pub .\n");
  const auto texts = [&](const std::vector<ControlKind>& kinds) {
    return annotated_texts(folder.path(), "train", kinds);
  };
  CHECK(texts({ControlKind::length}).at(0).words.size() == 5);
  CHECK(texts({ControlKind::semantic}).at(0).fields == std::vector<Field>{{"name", "Zork"}});
  CHECK(error_of([&] { texts({ControlKind::pos}); }).find("train.tags") != std::string::npos);
  write_text(folder / "train.tags", "PROPN AUX DET NOUN PUNCT\n");
  CHECK(texts({ControlKind::pos, ControlKind::length}).at(0).tags.at(3) == "NOUN");
  CHECK(error_of([&] { texts({ControlKind::span}); }).find("train.trees") != std::string::npos);
}

TEST_CASE("haze data controls writes the pairs of a part, of the kinds asked for") {
  const std::string folder = (corpus() / "corpus").string(), file = (corpus() / "pairs.jsonl").string();
  const ProgramResult result =
      run_program({"data", "controls", folder, "--out", file, "--kind", "length,span", "--seed", "3"});
  INFO(result.error);
  REQUIRE(result.status == 0);
  CHECK(read_text(file) == controlled_lines(annotated_texts(corpus() / "corpus", "train"),
                                            {ControlKind::length, ControlKind::span}, 3));
  CHECK(run_program({"data", "controls", folder, "--out", file, "--part", "test"}).status == 0);
  CHECK(pairs_of(read_text(file)).size() == 1);
  const ProgramResult wrong = run_program({"data", "controls", folder, "--out", file, "--kind", "lenght"});
  CHECK(wrong.status == 1);
  CHECK(wrong.error.find("there is no control 'lenght'; there are semantic, pos, tree, span, length") !=
        std::string::npos);
}
