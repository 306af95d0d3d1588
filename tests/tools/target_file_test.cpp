#include "haze/tools/tasks/target_file.h"

#include <cstdlib>
#include <fstream>
#include <random>

#include <doctest/doctest.h>

#include "haze/tools/tasks/evaluation_targets.h"

#include "error_of.h"
#include "temporary_folder.h"

using namespace haze;
using haze::testing::error_of;
using haze::testing::TemporaryFolder;

namespace {

struct TargetFile {
  explicit TargetFile(const std::string& lines) : path(folder / "targets.jsonl") {
    std::ofstream(path) << lines;
  }
  std::vector<AnnotatedText> read() const { return read_target_file(path); }
  std::string refusal() const {
    const std::string sentence = error_of([&] { read(); });
    const size_t name = sentence.find("targets.jsonl");
    return name == std::string::npos ? sentence : sentence.substr(name);
  }

  TemporaryFolder folder;
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("targets are a field and its value, or words and their tags, without the marks of begin and end") {
  const std::vector<AnnotatedText> texts =
      TargetFile(R"(["customer", "rating", ":", "5", "out", "of", "5"])"
                 "\n\n"
                 R"({"pos": ["START", "PROPN", "AUX", "ADJ", "PROPN", "END"],)"
                 R"( "words_": ["START", "Zizzi", "is", "cheap", "\n", "END"]})"
                 "\n")
          .read();
  REQUIRE(texts.size() == 2);
  CHECK(texts[0].fields == std::vector<Field>{{"customer rating", "5 out of 5"}});
  CHECK(texts[1].words == std::vector<std::string>{"Zizzi", "is", "cheap"});
  CHECK(texts[1].tags == std::vector<std::string>{"PROPN", "AUX", "ADJ"});
  CHECK_FALSE(target_from(ControlKind::length, texts[0], 0).has_value());
  CHECK(target_from(ControlKind::length, texts[1], 0)->words == 3);
}

TEST_CASE("a line that is no target is refused with its file and number") {
  const TemporaryFolder folder;
  CHECK(error_of([&] { read_target_file(folder.path()); }).ends_with(": it is a folder, not a file"));
  CHECK(TargetFile("").refusal() == "targets.jsonl: the file has no targets");
  CHECK(TargetFile("food : Thai\n").refusal() ==
        "targets.jsonl:1: it is neither a list nor an object of JSON");
  CHECK(TargetFile("[\"food\", \"Thai\"]\n").refusal() ==
        "targets.jsonl:1: there is no field and value with \":\" between");
  CHECK(TargetFile("\n[1]\n").refusal() == "targets.jsonl:2: the line is no list of words");
  CHECK(TargetFile("{}\n").refusal() == "targets.jsonl:1: \"words_\" is no list of words");
  CHECK(TargetFile(R"({"words_": ["a"], "pos": ["DET", "NOUN"]})").refusal() ==
        "targets.jsonl:1: there are 2 tags for 1 words");
  CHECK(TargetFile(std::string(1000, '[')).refusal().starts_with("targets.jsonl:1: the line"));
}

TEST_CASE("random bytes are read or refused, and nothing else") {
  std::mt19937 generator(1);
  const std::string signs = "[]{}\",: ab1\n\xff\\";
  for (int i = 0; i < 300; ++i) {
    std::string bytes;
    for (int j = 0; j < 40; ++j) bytes += signs[generator() % signs.size()];
    const TargetFile file(bytes);
    std::vector<AnnotatedText> texts;
    const std::string sentence = error_of([&] { texts = file.read(); });
    CHECK(texts.empty() == (sentence != "no error"));
  }
}

TEST_CASE("the published targets of E2E are read as their files' page says: 79 and 200") {
  const char* data = std::getenv("HAZE_SHARED_DATA");
  const std::filesystem::path folder = std::filesystem::path(data ? data : "../shared/data") / "e2e";
  if (!std::filesystem::exists(folder)) {
    MESSAGE("skipped: there is no ", folder.string());
    return;
  }
  const auto attributes = read_target_file(folder / "target_attribute.jsonl");
  REQUIRE(attributes.size() == 79);
  CHECK(attributes[34].fields == std::vector<Field>{{"Type", "pub"}});
  const auto tagged = read_target_file(folder / "target_pos.jsonl");
  REQUIRE(tagged.size() == 200);
  for (const AnnotatedText& text : tagged) CHECK(text.words.size() == text.tags.size());
}

TEST_CASE("a word of control.kinds names one kind, or several that a text has together") {
  CHECK(control_kinds_called("pos") == std::vector<ControlKind>{ControlKind::pos});
  CHECK(control_kinds_called("semantic+length") ==
        std::vector<ControlKind>{ControlKind::semantic, ControlKind::length});
  CHECK(error_of([] { control_kinds_called("pos+pos"); }) == "control.kinds: pos+pos has pos twice");
  CHECK(error_of([] { control_kinds_called("pos+length+span"); }) ==
        "control.kinds: pos+length+span names more than two kinds");
  CHECK(error_of([] { control_kinds_called("pos+"); }).starts_with("there is no control ''"));
}
